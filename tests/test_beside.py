"""What goes on beside a proof is waited for with an end, and what fails there is told."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.beside import Helper, at_once, beside, within
from tests.stack import free_port, wait_for
from tests.up import Up


def fail() -> None:
    raise LookupError("no such thing")


def test_what_a_helper_has_raised_is_told() -> None:
    with pytest.raises(LookupError, match="no such thing"):
        at_once([fail, lambda: None], 20)


def test_a_helper_that_does_not_go_on_is_not_waited_for() -> None:
    over, made = threading.Event(), [0]

    def work() -> None:
        for _ in range(3):
            time.sleep(0.1)
            made[0] += 1
        over.wait()

    helper = Helper(work)
    with pytest.raises(AssertionError, match=r"does not go on for 0\.2 s"):
        helper.finish(0.2, lambda: made[0])
    assert made == [3]
    over.set()
    helper.finish(20)


def test_what_fails_beside_ends_what_it_was_for() -> None:
    async def go_on() -> None:
        await asyncio.Event().wait()

    async def fail_soon() -> None:
        await asyncio.sleep(0.01)
        fail()

    async def prove(*tasks: str) -> str:
        async with beside(*({"go on": go_on, "fail": fail_soon}[name]() for name in tasks)):
            if "fail" in tasks:
                await asyncio.Event().wait()
            await asyncio.sleep(0)
        return "proved"

    assert asyncio.run(prove("go on", "go on")) == "proved"
    with pytest.raises(LookupError, match="no such thing"):
        asyncio.run(asyncio.wait_for(prove("go on", "fail"), 20))


def test_what_does_not_happen_is_told_by_its_name() -> None:
    async def wait() -> None:
        await within(0.01, asyncio.Event().wait(), "the end of time")

    with pytest.raises(AssertionError, match="the end of time did not happen within"):
        asyncio.run(wait())


def test_a_slow_machine_has_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    over = time.monotonic() + 0.2
    monkeypatch.setattr("tests.stack.slowness", lambda: 1000.0)
    assert wait_for(lambda: time.monotonic() > over, "that it is over", 0.01)


def test_a_test_has_longer_too(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import tests.pace\ntests.pace.USUAL = 1e-6\n")
    (tmp_path / "test_slow.py").write_text("import time\n\ndef test_slow() -> None:\n    time.sleep(0.5)\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "slow", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    command += ["--timeout", "0.01", f"--rootdir={tmp_path}", str(tmp_path)]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert "1 passed" in ran.stdout, ran


def test_a_start_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    started = Up(tmp_path / "data", "echo", "--port", "0")
    os.kill(started.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(AssertionError, match="the ready line did not happen"):
            started.ready(0.1)
    finally:
        started.process.kill()
        started.finish()
        assert started.process.stdout
        started.process.stdout.close()


def test_no_port_is_given_twice_to_those_who_listen_later() -> None:
    assert len({free_port() for _ in range(1000)}) == 1000
