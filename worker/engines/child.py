"""The child's end of an engine host. It imports little: every start of a host waits for it."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from setproctitle import setproctitle

from shared.lifeline import die_at_eof, die_with_parent

SOCKET = "engine.sock"
"""Name of the unix socket in the host's directory. llama.cpp takes a host name that ends in `.sock` for such a path."""


def enter() -> tuple[dict[str, Any], Callable[[float], None]]:
    """The child's first act: tie its life to the worker's, and send what it prints into the log.

    Returns the parameters, and what to call when it is ready, with the most seconds that one step may take as far as is
    known.
    """
    for stop in (signal.SIGINT, signal.SIGTERM):  # meant for the worker, which still has jobs to finish
        signal.signal(stop, signal.SIG_IGN)
    line = sys.stdin.buffer.readline()
    if not line:
        os._exit(1)
    parameters: dict[str, Any] = json.loads(line)
    die_at_eof(sys.stdin.fileno())
    die_with_parent(parameters["parent"])
    setproctitle(f"inferq engine {parameters['title']}")
    answer = os.dup(1)
    os.dup2(2, 1)

    def ready(step: float) -> None:
        os.write(answer, b"ready %.6f\n" % step)

    return parameters, ready
