"""`inferq` whose echo engine brings forth the tokens of all streams at one time, as the batch of a model does.

    python -P bench/lockstep.py worker echo

It changes the installed release that it is run with: see cost.py.
"""

from __future__ import annotations

import os
import threading
import time

from inferq import cli
from shared.errors import JobCancelled
from worker.engines import echo

STEP = 1 / float(os.environ["INFERQ_ECHO_RATE"])


def wait_for_the_step(wakeup: threading.Event, seconds: float) -> None:
    """Until the next of all streams' common steps."""
    if wakeup.wait(STEP - time.monotonic() % STEP):
        raise JobCancelled("The job was cancelled.")


if __name__ == "__main__":
    echo._sleep = wait_for_the_step
    cli.main()
