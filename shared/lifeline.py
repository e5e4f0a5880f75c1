"""Nothing of inferq outlives its parent, however the parent ends."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import threading
import time

_PERIOD = 0.5


def die_with_parent(parent: int | None = None) -> None:
    """End this process within about half a second of its parent's end, whatever ended it.

    `parent` is the parent's pid where the child was told it, which leaves no gap in which the parent could die unseen.
    A thread watches, so the interpreter has to run: see `die_at_eof` for a process that keeps it from running.
    """
    expected = os.getppid() if parent is None else parent

    def watch() -> None:
        while os.getppid() == expected:
            time.sleep(_PERIOD)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def die_at_eof(fd: int) -> None:
    """Have the kernel kill this process as soon as nobody holds the other end of the pipe `fd`.

    This works while native code keeps the interpreter from running, and unlike PR_SET_PDEATHSIG it does not depend on
    the thread that started this process. Nothing may be written into the pipe afterwards: data kills as well. Only
    Linux can do it; elsewhere this does nothing.
    """
    if sys.platform == "linux":
        fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)
        already = select.poll()
        already.register(fd, 0)
        if already.poll(0):
            os._exit(1)
