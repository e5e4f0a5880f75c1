"""Processes that are not ours in code, and yet must end when we do, however we end."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# Runs between the fork and the program. PR_SET_PDEATHSIG is 1; the parent may have died before it was set.
_SHIM = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def leash(command: Sequence[str]) -> list[str]:
    """`command` (its first word is a path), made to get SIGTERM when the calling thread's process ends.

    Linux only: elsewhere the command is returned as it is.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _SHIM, str(os.getpid()), *command]
