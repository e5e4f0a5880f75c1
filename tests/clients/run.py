"""One client: installed, its script run against a gateway, and what the script reports judged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.environments import NotInstalled, command, prepare
from tests.clients.table import INSIDE, Client


@dataclass(frozen=True)
class Outcome:
    """What a client's checks came to."""

    client: Client
    planned: tuple[str, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    """Each check that did not pass, with the reason."""
    not_run: str = ""
    """Why nothing was tried; empty where something was."""
    seconds: float = 0.0

    @property
    def result(self) -> str:
        if self.not_run:
            return f"not run: {self.not_run}"
        passed = len(self.planned) - len(self.failed)
        return f"{passed} of {len(self.planned)}" if self.planned else "FAILED: no check was run"

    @property
    def broken(self) -> bool:
        """Whether something was tried, and not all of it passed."""
        return not self.not_run and (bool(self.failed) or not self.planned)


def try_client(client: Client, url: str) -> Outcome:
    """Install a client, if it is not, and run its script against a gateway."""
    try:
        folder = prepare(client)
    except NotInstalled as exc:
        return Outcome(client, not_run=str(exc))
    return run_script(client, folder, url)


def run_script(client: Client, folder: Path, url: str) -> Outcome:
    """Run the script of a client that is installed; it gets an empty home, and what it started ends with it."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"client-{client.name}-") as home:
        report, log = Path(home) / "report.jsonl", Path(home) / "output"
        report.touch()
        script = INSIDE / client.script
        if client.in_node:  # which looks for packages from the script's own folder upwards
            for file in INSIDE.glob("*.mjs"):
                shutil.copy(file, folder)
            script = folder / client.script
        environ = _environ(client, folder) | {"HOME": home, "INFERQ_URL": url, "REPORT": str(report)}
        with log.open("wb") as output:
            child = subprocess.Popen(
                command(client, folder, script),
                cwd=home,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                child.wait(client.seconds)
                ended = f"its script ended with status {child.returncode}"
            except subprocess.TimeoutExpired:
                ended = f"its script had not ended after {client.seconds:g} s"
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        told = log.read_text("utf-8", errors="replace")
        if "no check was run" in (outcome := judge(client, _lines(report), ended)).result:
            outcome = Outcome(client, (), (("start", f"{ended}: {told[-2000:]}"),))
    return Outcome(client, outcome.planned, outcome.failed, seconds=time.monotonic() - begun)


def judge(client: Client, lines: Iterable[dict[str, Any]], ended: str = "its script ended") -> Outcome:
    """What was planned has to be reported; a script that dies half way has not passed the rest."""
    planned: list[str] = []
    passed: dict[str, str] = {}
    for line in lines:
        planned += line.get("planned", [])
        if "check" in line:
            passed[line["check"]] = line["why"]
    failed = [(name, passed.get(name, f"not reached: {ended}")) for name in planned if passed.get(name) != ""]
    return Outcome(client, tuple(planned), tuple(failed))


def _lines(report: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in report.read_text("utf-8").splitlines()]


def _environ(client: Client, folder: Path) -> dict[str, str]:
    """Nothing of the user's own keys and addresses, and no proxy in between."""
    strange = ("OPENAI_", "ANTHROPIC_", "CLAUDE", "LITELLM_", "INFERQ_", "PYTHON")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(strange)}
    path = f"{folder / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    offline = {"HF_HUB_OFFLINE": "1", "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
    return kept | {"PATH": path} | offline | dict(item.split("=", 1) for item in client.settings)
