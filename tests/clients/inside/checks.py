"""How a script in a client's environment reports: one line of JSON a check. Only the standard library."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

URL = os.environ.get("INFERQ_URL", "")
WORDS = " ".join(f"word{number}" for number in range(20))
"""What echo is told: twenty tokens, which come in several chunks."""
SEPARATORS = "one\u2028two\u2029three\u0085four"
"""Characters at which some readers of lines split."""
QUESTION = "What is the capital city of France? Answer in one word."
OSLO: dict[str, Any] = {"name": "Oslo", "size": "small", "rivers": [{"name": "Akerselva", "length": 9}]}
"""What echo is told where an answer, or the arguments of a call, are to be an object."""

Check = Callable[[], Any]
_planned: list[Check] = []


def check(function: Check) -> Check:
    """A check passes when it raises nothing; its name is what is told of it."""
    _planned.append(function)
    return function


def run() -> None:
    """Run every check, in their order."""
    _report(planned=[_name(function) for function in _planned])
    for function in _planned:
        why = ""
        try:
            value = function()
            if inspect.isawaitable(value):
                asyncio.run(_await(value))
        except Exception as exc:  # noqa: BLE001 - whatever a client raises is what is told of it
            traceback.print_exc()
            line = traceback.extract_tb(exc.__traceback__)[-1]
            said = " ".join(str(exc).split())
            why = f"{type(exc).__name__}: {said} ({Path(line.filename).name}:{line.lineno})"
        _report(check=_name(function), why=why)


async def _await(value: Any) -> None:
    await value


def equal(seen: object, wanted: object) -> None:
    """An `assert` that tells both."""
    assert seen == wanted, f"{seen!r:.300} is not {wanted!r:.300}"


def calling(*calls: tuple[str, Mapping[str, Any]]) -> str:
    """What has echo call tools, each told by its name and its arguments."""
    return json.dumps([{"name": name, "arguments": arguments} for name, arguments in calls])


def at_least(seen: int, least: int) -> None:
    assert seen >= least, f"{seen} is less than {least}"


def run_command(*words: str, told: str = "", seconds: float = 120) -> str:
    """What a command printed; raises where it fails."""
    done = subprocess.run(words, input=told, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{words[0]} ended with {done.returncode}: {(done.stderr or done.stdout)[-800:]}"
    return done.stdout


@contextmanager
def serving(*words: str, at: str, seconds: float = 120) -> Iterator[None]:
    """A server that runs meanwhile; `at` is what answers when it is ready."""
    with Path("server.log").open("wb") as log:
        server = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        end = time.monotonic() + seconds
        while not _answers(at):
            told = Path("server.log").read_text(errors="replace")[-800:]
            assert server.poll() is None, f"{words[0]} ended with {server.returncode}: {told}"
            assert time.monotonic() < end, f"{words[0]} does not answer after {seconds} s: {told}"
            time.sleep(0.5)
        yield
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def fetch(url: str, body: object = None, headers: Mapping[str, str] | None = None) -> Any:
    """What a URL answers, parsed; with a body it is a POST."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as exc:
        raise AssertionError(f"{url}: {exc.code} {exc.read()[:500]!r}") from None


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _name(function: Check) -> str:
    return function.__name__.replace("_", " ").strip()


def _report(**line: Any) -> None:
    with Path(os.environ["REPORT"]).open("a", encoding="utf-8") as report:
        report.write(json.dumps(line) + "\n")
    sys.stdout.flush()
