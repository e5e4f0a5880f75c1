"""The child's end of an engine host. It imports little: every start of a host waits for it."""

from __future__ import annotations

import json
import os
import signal
import sys

from setproctitle import setproctitle

from shared.lifeline import die_at_eof, die_with_parent
from worker.engines.sandbox import Sandbox

SOCKET = "engine.sock"
"""Name of the unix socket in the host's directory. llama.cpp takes a host name that ends in `.sock` for such a path."""


class HostEnd:
    """Made by the child's first act: ties its life to the worker's, and sends what it prints into the log.

    From then on it has no files but those that `parameters` name in `reads`, its directory and the libraries; and it
    starts no programs but those in `executes`.
    """

    def __init__(self) -> None:
        for stop in (signal.SIGINT, signal.SIGTERM):  # meant for the worker, which still has jobs to finish
            signal.signal(stop, signal.SIG_IGN)
        line = sys.stdin.buffer.readline()
        if not line:
            os._exit(1)
        self.parameters = json.loads(line)
        die_at_eof(sys.stdin.fileno())
        self._sandbox = Sandbox()
        reads, executes = self.parameters.get("reads", ()), self.parameters.get("executes", ())
        self._sandbox.restrict(reads, self.parameters["directory"], executes)
        die_with_parent(self.parameters["parent"])
        setproctitle(f"inferq engine {self.parameters['title']}")
        self._answer = os.dup(1)
        os.dup2(2, 1)

    def confine(self) -> None:
        """To be called when all has been imported, and nothing of the model's been read: only computing is left."""
        self._sandbox.refuse_calls()

    def become(self) -> None:
        """To be called in a child of this process that becomes one of those programs: it is confined from then on."""
        self._sandbox.refuse_calls(but="execve")

    def ready(self, step: float) -> None:
        """It can be connected to. One step takes at most about so many seconds, as far as is known."""
        os.write(self._answer, f"ready {step:.6f} {', '.join(self._sandbox.missing)}\n".encode())
