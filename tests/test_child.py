"""A process that is started again whenever it ends, and when it could not be started."""

from __future__ import annotations

import subprocess
import sys

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
