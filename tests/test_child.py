"""A process that is started again whenever it ends, and when it could not be started."""

from __future__ import annotations

import subprocess
import sys

import pytest

import inferq.child
from inferq.child import Child
from tests.stack import wait_for


def test_a_refused_fork_is_tried_again() -> None:
    refusals = [OSError(11, "Resource temporarily unavailable"), OSError(12, "Cannot allocate memory")]

    def spawn() -> subprocess.Popen[bytes]:
        if refusals:
            raise refusals.pop()
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)

    child = Child("it", spawn)

    def running() -> bool:
        child.tend()
        return child.running

    wait_for(running, "its start")
    assert child.failures == 2
    child.terminate()
    child.join(10)
    assert not child.running


def test_one_that_refuses_is_started_again_much_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inferq.child, "_IN_VAIN", 1.0)
    codes = ["raise SystemExit(2)", "import time; time.sleep(60)"]

    def spawn() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-ISc", codes.pop(0)], start_new_session=True)

    child = Child("it", spawn)

    def refused() -> bool:
        child.tend()
        return child.refused

    wait_for(refused, "its word")
    assert not child.running
    wait_for(lambda: not refused(), "the second start")
    child.terminate()
    child.join(10)
