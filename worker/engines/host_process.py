"""One life of an engine host: its process, and the private folder with its socket and its log."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from shared import footprint, memory
from shared.child_pipe import hear_line
from shared.errors import ModelLoadError
from shared.logs import shorten_open
from shared.memory import DoesNotFit
from shared.misfits import EngineMisfit
from shared.scratch import Scratch, socket_root

_TAIL_BYTES = 2000
LONGEST_WORD = 1024
"""Bytes of what a host says when it is ready."""
_ENVIRONMENT = (
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "TZ",
    "GOMP_SPINCOUNT",
    "OMP_WAIT_POLICY",
)
"""All that a host knows of its worker's: what a file takes over finds no password there."""
_living: dict[int, HostProcess] = {}
"""Those of this worker, by pid."""


class HostProcess:
    """The child that runs `python -m MODULE`. Raises ModelLoadError when it cannot be started."""

    def __init__(self, module: str) -> None:
        try:
            self._scratch = Scratch("inferq-host-", socket_root())
        except OSError as exc:
            raise ModelLoadError(f"the engine host got no folder: {exc}") from exc
        self.directory = self._scratch.path
        self._verdict, self._kills = "", memory.kills()
        self.starved = False
        """Whether it was killed for want of memory."""
        self.missing = ""
        """What of its sandbox the system does not have."""
        try:
            # Kept open: the host may do with its folder what it likes, and put a link into the log's place.
            self._log = (self.directory / "log").open("w+b")
            with (self.directory / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", module],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                    bufsize=0,
                )
        except OSError as exc:
            self._scratch.remove()
            raise ModelLoadError(f"the engine host cannot be started: {exc}") from exc
        _living[self.pid] = self

    @property
    def pid(self) -> int:
        return self._process.pid

    def resident(self) -> int:
        """Bytes of memory in use, which while it loads are mostly the weights that it has read; 0 where it is not told.

        From outside: a host that is busy reading would be late to tell, and what it says need not be true.
        """
        return footprint.resident(self.pid)

    def spent(self) -> float:
        """Seconds of a processor's time that its threads have had; 0 where it is not told."""
        return footprint.spent(self.pid)

    def greet(self, parameters: Mapping[str, Any], patience: float) -> float:
        """Hand over the parameters and wait until it is ready, for so many seconds at most.

        Returns the most seconds that a step may take. Raises ModelLoadError, with the tail of the log, when the child
        dies meanwhile or is late; it is buried then. EngineMisfit where this CPU cannot run it.
        """
        assert self._process.stdin is not None
        given = {**parameters, "parent": os.getpid(), "directory": str(self.directory)}
        try:
            self._process.stdin.write(json.dumps(given).encode() + b"\n")
            said = hear_line(self._process, patience, LONGEST_WORD)
            word, step, missing = said.decode().strip("\n").split(" ", 2)
            if word == "ready":
                self.missing = missing
                return float(step)
        except TimeoutError:
            self.kill(f"was not ready after {patience:.0f} s")
        except (BrokenPipeError, ValueError):  # it ended at once, or says something else
            pass
        end, tail = self._end(), self._bury()
        if self._process.returncode == -signal.SIGILL:
            raise EngineMisfit(
                "this CPU has not the instructions (AVX2) that the engine was built for; one that was built for it can"
                " be named in INFERQ_LLAMA_SERVER, see docs/engines.md"
            )
        kind = DoesNotFit if self.starved else ModelLoadError
        raise kind(f"the engine host {end} while it loaded the model; {tail}")

    def speaks(self, within: float) -> bool:
        """Wait up to `within` seconds until it says something or ends, which is all that it does once it is ready."""
        assert self._process.stdout is not None
        poll = select.poll()  # which, unlike other ways to wait, takes no file descriptor
        poll.register(self._process.stdout, select.POLLIN)
        return bool(poll.poll(within * 1000))

    def kill(self, verdict: str = "") -> None:
        """`verdict` says why, in `bury`."""
        self._verdict = self._verdict or verdict
        self._process.kill()

    def bury(self) -> str:
        """Say how it ended, with the tail of its log, and remove its folder. What is left of it is killed."""
        return f"the engine host {self._end()}; {self._bury()}"

    def tail(self) -> str:
        """The end of the log, in words."""
        try:
            end = self._log.seek(0, os.SEEK_END)
            self._log.seek(max(0, end - _TAIL_BYTES))
            text = self._log.read(_TAIL_BYTES).decode(errors="replace").strip()
        except (OSError, ValueError):  # it was closed with the host's burial
            text = ""
        return f"its log ends:\n{text}" if text else "its log is empty"

    def shorten_log(self) -> None:
        shorten_open(self._log)

    def _end(self) -> str:
        try:
            status = self._process.wait(1.0)
        except subprocess.TimeoutExpired:  # it has closed its stdout, or broken off
            self._process.kill()
            status = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        if self._verdict:
            return f"{self._verdict}, and was killed"
        if status == -signal.SIGKILL and memory.kills() > self._kills:
            self.starved = True
            return f"was killed by the system for want of memory, of which there are now {memory.budget()},"
        return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def _bury(self) -> str:
        _living.pop(self.pid, None)
        tail = self.tail()
        self._log.close()
        self._scratch.remove()
        return tail


def living() -> list[int]:
    """The pids of this worker's hosts."""
    return list(_living)
