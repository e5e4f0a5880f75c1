"""An engine host: the child process in which an engine computes, so that a hostile file or request ends only it.

Both ends are here. The worker's is `EngineHost`; the child's main function begins with `enter`. They share a private
directory (for a socket, and the log that takes all that the child prints), the child's stdin, on which it gets its
parameters and whose end is its own, and the child's stdout, on which it says that it is ready.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from setproctitle import setproctitle

from shared.errors import EngineError, JobCancelled, ModelLoadError
from shared.lifeline import die_at_eof, die_with_parent

_PATIENCE = 600.0
"""Seconds that a start may take."""
_STABLE = 10.0
"""Seconds after which a host is sound, so that its death is an accident and not the next of a row."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_TAIL_BYTES = 2000
_SOCKET_ROOM = 80
"""A unix socket's path has 104 bytes or a little more, so the directory's must leave some."""


Cancelled = Callable[[], bool]


def never() -> bool:
    """The `cancelled` of what cannot be cancelled."""
    return False


class EngineHost:
    """Runs `python -m MODULE` and starts it again whenever it dies, after a pause when that happens repeatedly.

    `parameters` are handed to the child as JSON, with `directory` added. Raises ModelLoadError, with the tail of the
    log, when the first start fails.
    """

    def __init__(self, module: str, title: str, parameters: Mapping[str, Any]) -> None:
        root = tempfile.gettempdir()
        self.directory = Path(tempfile.mkdtemp(prefix="inferq-", dir=root if len(root) < _SOCKET_ROOM else "/tmp"))
        self._module = module
        self._parameters = {**parameters, "title": title, "parent": os.getpid(), "directory": str(self.directory)}
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0  # how often the host became ready
        self._buried = 0  # how often it died after that
        self._epitaph = ""
        self._failures = 0
        self._failure = ""
        try:
            self._start()
        except ModelLoadError:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        self._watcher = threading.Thread(target=self._watch, name="engine-host", daemon=True)
        self._watcher.start()

    @property
    def alive(self) -> bool:
        return self._started > self._buried

    @property
    def trouble(self) -> str:
        """Why the last try to start it again failed; empty while it lives, and before that try."""
        return "" if self.alive else self._failure

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def wait_ready(self, cancelled: Cancelled = never) -> int:
        """Wait while the host is being started again. Returns the number of its life, for `obituary`.

        Raises:
            ModelLoadError: the start that was waited for failed. The next one follows after a pause.
            JobCancelled: `cancelled()` turned true.
        """
        with self._changed:
            failures = self._failures
            while not self.alive:
                if self._closing.is_set():
                    raise EngineError("the engine is closed")
                if self._failures > failures:
                    raise ModelLoadError(self._failure)
                if cancelled():
                    raise JobCancelled("cancelled while the engine was being restarted")
                self._changed.wait(0.1)
            return self._started

    def obituary(self, life: int) -> str:
        """How the host's `life` ended, with the tail of its log; for somebody whose connection to it broke."""
        with self._changed:
            if self._changed.wait_for(lambda: self._buried >= life, timeout=1.0):
                return self._epitaph
        return f"the engine host closed the connection; {self.tail()}"

    def tail(self) -> str:
        """The end of the log, in words."""
        try:
            text = (self.directory / "log").read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
        except OSError:
            text = ""
        return f"its log ends:\n{text}" if text else "its log is empty"

    def close(self) -> None:
        """End the host and remove its directory."""
        self._closing.set()
        self._kill()
        self._watcher.join()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", self._module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
            )
        self._process = process
        self._born = time.monotonic()
        if self._closing.is_set():
            self._kill()
        if not self._greet(process):
            try:
                process.wait(1.0)
                how = self._reap(process)
            except subprocess.TimeoutExpired:
                process.kill()
                self._reap(process)
                how = f"was not ready after {_PATIENCE:.0f} s"
            raise ModelLoadError(f"the engine host {how} while it loaded the model; {self.tail()}")
        with self._changed:
            self._started += 1
            self._changed.notify_all()

    def _greet(self, process: subprocess.Popen[bytes]) -> bool:
        """Hand over the parameters and wait for the answer; False when the child is dead or late."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(self._parameters).encode() + b"\n")
        except BrokenPipeError:
            return False
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            return bool(selector.select(_PATIENCE)) and process.stdout.readline() == b"ready\n"

    def _watch(self) -> None:
        pause = 0.0
        while True:
            if self.alive:
                assert self._process is not None
                how = self._reap(self._process)
                with self._changed:
                    self._epitaph = f"the engine host {how}; {self.tail()}"
                    self._buried = self._started
                    self._failure = ""
                    self._changed.notify_all()
            lived = time.monotonic() - self._born
            pause = 0.0 if lived > _STABLE else min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
            if self._closing.wait(pause):
                return
            try:
                self._start()
            except ModelLoadError as exc:
                with self._changed:
                    self._failure, self._failures = exc.message, self._failures + 1
                    self._changed.notify_all()

    def _reap(self, process: subprocess.Popen[bytes]) -> str:
        """Wait for the end of the child and say how it came."""
        status = process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def _kill(self) -> None:
        if self._process:
            self._process.kill()


def enter() -> tuple[dict[str, Any], Callable[[], None]]:
    """The child's first act: tie its life to the worker's, and send what it prints into the log.

    Returns the parameters, and what to call when it is ready.
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

    def ready() -> None:
        os.write(answer, b"ready\n")

    return parameters, ready
