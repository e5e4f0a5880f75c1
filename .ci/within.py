"""Runs a command within a bound: `within.py SECONDS COMMAND...`, which ends with its status, or with 124.

What has not ended by then is made to say where it stands (SIGABRT, which Python answers with its stacks) and is killed,
with all of its process group. coreutils' timeout would keep Ctrl-C from the command.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

LATE = 124
"""The status that timeout has for it."""
_LAST_WORDS = 10.0
"""Seconds for the stacks."""


def run(command: list[str], seconds: float) -> int:
    """Its exit status, as a shell has it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell has what it runs in the background ignore it
    process, told = subprocess.Popen(command, process_group=0), list[int]()

    def tell(number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    def tell_too(number: int, frame: object) -> None:
        told.append(number)
        tell(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, tell_too)
    try:
        status = process.wait(seconds)
    except subprocess.TimeoutExpired:
        tell(signal.SIGABRT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LAST_WORDS)
        tell(signal.SIGKILL)
        sys.stdout.write(f"did not end within {seconds:g} s\n")
        return LATE
    if told:  # who has pressed Ctrl-C means all of it
        signal.signal(told[0], signal.SIG_DFL)
        os.kill(os.getpid(), told[0])
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(run(sys.argv[2:], float(sys.argv[1])))
