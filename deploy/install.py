"""Sets up an environment: each step in a line, which tells how far it is, so that nobody wonders whether it hangs.

    python deploy/install.py .venv requirements.lock --new --project    # what runs inferq, in a new environment
    python deploy/install.py .venv requirements-dev.lock                # more, in that one

Needs nothing but Python, for it comes before all packages.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

PERIOD = 5.0
"""Seconds between two lines about one step, where nobody watches; at a terminal the line itself changes."""
_LEAVING = 5.0
"""Seconds that a step may take to end after Ctrl-C."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("environment", type=Path)
    parser.add_argument("lock", type=Path, help="requirements with their hashes")
    parser.add_argument("--new", action="store_true", help="make the environment anew")
    parser.add_argument("--project", action="store_true", help="install the project of this folder too, in place")
    given = parser.parse_args()
    python = given.environment / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install"]
    pip += ["--root-user-action=ignore", "--progress-bar=off"]
    if given.new:
        make = [sys.executable, "-m", "venv", "--clear", str(given.environment)]
        run(f"environment {given.environment}, Python {sys.version.split()[0]}", make)
    wanted = len(re.findall(r"^[A-Za-z0-9].*==", given.lock.read_text("utf-8"), re.MULTILINE))
    packages = [*pip, "--require-hashes", "--requirement", str(given.lock)]
    run(f"packages of {given.lock}", packages, lambda said: how_far(said, wanted, given.environment))
    if given.project:
        run("inferq itself", [*pip, "--no-deps", "--no-build-isolation", "--editable", "."])
    return 0


def run(title: str, command: list[str], measure: Callable[[str], str] = lambda said: "") -> None:
    """Run one step; `measure` makes words of what it has said so far. Ends the program where it fails."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            show(f"{title} ...", last=False)
            told = begun
            while (status := wait(child)) is None:
                if time.monotonic() - told > (0.5 if sys.stdout.isatty() else PERIOD):
                    told = time.monotonic()
                    show(f"{title}: {measure(read(output)) or f'{told - begun:.0f} s'}", last=False)
        except KeyboardInterrupt:
            leave(child)
            show("interrupted; the next `make` begins anew", last=True)
            sys.exit(130)
        if status:
            show(f"{title}: failed", last=True)
            said = read(output)
            sys.stderr.write(said[-4000:])
            if re.search("NewConnectionError|ConnectTimeoutError|NameResolutionError", said):
                sys.stderr.write(
                    "The package index cannot be reached; check the network and pip's settings (proxy, index).\n"
                )
            sys.exit(1)
        show(f"{title}: done in {time.monotonic() - begun:.0f} s", last=True)


def wait(child: subprocess.Popen[bytes]) -> int | None:
    """Its exit status, or None after a moment."""
    try:
        return child.wait(0.2)
    except subprocess.TimeoutExpired:
        return None


def leave(child: subprocess.Popen[bytes]) -> None:
    """Ctrl-C is its end too, for a terminal has told it as well."""
    try:
        child.wait(_LEAVING)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        child.kill()


def how_far(said: str, wanted: int, environment: Path) -> str:
    """Of pip's work: it fetches all packages, and then installs them in silence."""
    if found := re.search(r"^Installing collected packages: (.*)$", said, re.MULTILINE):
        names = {name.strip().lower().replace("_", "-") for name in found[1].split(",")}
        there = {path.name.partition("-")[0] for path in environment.glob("lib/python*/site-packages/*.dist-info")}
        installed = len(names & {name.lower().replace("_", "-") for name in there})
        return f"installed {installed} of {len(names)}"
    begun = re.findall(r"^Collecting ([\w.-]+)", said, re.MULTILINE)
    sizes = re.findall(r"^ *Downloading \S+ \(([\d.]+ \w+)\)$", said, re.MULTILINE)
    now = f", now {begun[-1]}" + (f" ({sizes[-1]})" if said.rstrip().endswith(")") and sizes else "") if begun else ""
    return f"fetched {max(0, len(begun) - 1)} of about {wanted}{now}"


def read(output: BinaryIO) -> str:
    """All of it. It is read at its own place, for the child writes at the place that it shares with us."""
    return os.pread(output.fileno(), os.fstat(output.fileno()).st_size, 0).decode(errors="replace")


def show(line: str, *, last: bool) -> None:
    """A line; at a terminal in the place of the one before, until it is the last about its step."""
    if sys.stdout.isatty():
        sys.stdout.write(f"\r\x1b[K{line[: os.get_terminal_size().columns - 1]}" + ("\n" if last else ""))
    else:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
