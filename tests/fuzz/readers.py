"""Every reader of files under atheris: only a reader's own errors come out, in bounded time and memory.

    python -m tests.fuzz.readers [--seconds 60 | --cases 1000000] [--seed S] [--only TARGET] [--repeat FILE]

Atheris goes on from sound examples towards what no case has reached yet. It is there for Linux on x86_64 alone.
"""

from __future__ import annotations

import secrets
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click

from shared.cores import usable

MEMORY = 1500
"""MB that the process of a reader may take, atheris and NumPy among them."""
PATIENCE = 20
"""Seconds that one case may take; libFuzzer ends the process after it."""
LARGEST_CASE = 65_536
"""Bytes."""
COUNTS = struct.Struct("<QQ")
"""Cases that were read, and cases that were refused, as the process of a reader keeps them in a file."""


@dataclass(frozen=True)
class Outcome:
    name: str
    read: int
    refused: int
    fault: str = ""
    """What the process said at its end, where it did not end well."""


@click.command()
@click.option("--seconds", default=60.0, help="for all readers together")
@click.option("--cases", type=click.IntRange(1), help="for all readers together, instead of a time")
@click.option("--seed", type=click.IntRange(1, 2**31), help="of an earlier run")
@click.option("--only", multiple=True, help="one of the readers")
@click.option("--repeat", type=click.Path(path_type=Path), help="a case that was kept, for the one reader of --only")
def main(seconds: float, cases: int | None, seed: int | None, only: tuple[str, ...], repeat: Path | None) -> None:
    if find_spec("atheris") is None:
        print("not run: atheris is there for Linux on x86_64 alone")
        return
    from tests.fuzz.targets import TARGETS

    seed = secrets.randbelow(1_000_000) + 1 if seed is None else seed
    print(f"seed {seed}")
    names = list(only or TARGETS)
    if repeat:
        how = [str(repeat)]
    elif cases:
        how = [f"-runs={max(1, cases // len(names))}"]
    else:
        how = [f"-max_total_time={max(1, round(seconds * usable() / len(names)))}"]
    with ThreadPoolExecutor(usable()) as threads:
        outcomes = list(threads.map(lambda name: fuzz(name, seed, how), names))
    print(f"\n{'reader':12} {'read':>9} {'refused':>9}")
    for each in outcomes:
        print(f"{each.name:12} {each.read:9,} {each.refused:9,}" + ("  FAULT" if each.fault else ""))
    faulty = [each for each in outcomes if each.fault]
    for each in faulty:
        print(f"\nBROKEN: {each.name}: {each.fault}")
    dull = [each.name for each in outcomes if not repeat and not (each.read and each.refused)]
    for name in dull:
        print(f"\nBROKEN: {name}: nothing was read, or nothing was refused: this tests too little")
    print(f"\nseed {seed}: " + ("faults" if faulty or dull else "each case was read or refused in words"))
    sys.exit(1 if faulty or dull else 0)


def fuzz(name: str, seed: int, how: list[str]) -> Outcome:
    from tests.fuzz.targets import TARGETS

    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        folder = Path(place)
        for part in ("corpus", "work", "faults"):
            (folder / part).mkdir()
        (folder / "counts").write_bytes(bytes(COUNTS.size))
        for number, example in enumerate(TARGETS[name].examples(folder)):
            (folder / "corpus" / str(number)).write_bytes(example)
        words = [word.encode().replace(b"\\", b"\\\\").replace(b'"', b'\\"').decode() for word in TARGETS[name].words]
        (folder / "words").write_text("".join(f'"{word}"\n' for word in words))
        command = [sys.executable, "-m", "tests.fuzz.reading", name, place, *how, f"-seed={seed}"]
        command += [f"-rss_limit_mb={MEMORY}", f"-malloc_limit_mb={MEMORY}", f"-timeout={PATIENCE}"]
        command += [f"-max_len={LARGEST_CASE}", f"-artifact_prefix={folder}/faults/"]
        command += [f"-dict={folder / 'words'}"] if words else []
        command += [] if how[0].startswith("/") else [str(folder / "corpus")]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        read, refused = COUNTS.unpack((folder / "counts").read_bytes())
        if done.returncode == 0:
            return Outcome(name, read, refused)
        kept = Path(tempfile.gettempdir()) / f"{name.replace(' ', '-')}-{seed}-{time.time_ns()}"
        for case in (folder / "faults").iterdir():
            shutil.copy(case, kept)
        words_said = done.stdout[-1000:] + done.stderr[-3000:]
        return Outcome(name, read, refused, f"status {done.returncode}; the case is in {kept}\n{words_said}")


if __name__ == "__main__":
    main()
