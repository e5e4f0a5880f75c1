"""What llama.cpp has computed in a slot, as a file in the folder of its host."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from shared.cancellation import NEVER, Cancellable
from shared.regular_file import open_descriptor
from worker.engines.host import EngineHost
from worker.engines.llama_cpp_server import LlamaServer

_DISK = 60.0
"""Seconds that a disk may take."""


class Saved(NamedTuple):
    file: BinaryIO
    tokens: int


class SlotState:
    """Of one slot, at a time when nothing is computed there. Both raise OSError, and what `LlamaServer.ask` does."""

    def __init__(self, server: LlamaServer, host: EngineHost, slot: int) -> None:
        self._server, self._host, self._slot = server, host, slot

    @contextmanager
    def save(self, work: Cancellable = NEVER) -> Iterator[Saved]:
        """The file, open to be read, and of how many tokens it is. It is one, whatever a hostile model that has taken
        over the host puts in its place."""
        path = self._path
        try:
            told = self._act("save", path, work)
            with os.fdopen(open_descriptor(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as state:
                # Whether a full disk has taken the last of it llama.cpp does not look, and half a file may kill it.
                if os.fstat(state.fileno()).st_size != told["n_written"]:
                    raise OSError(errno.ENOSPC, "there was no space for all of it", str(path))
                yield Saved(state, int(told["n_saved"]))
        finally:
            path.unlink(missing_ok=True)

    def restore(
        self, write: Callable[[BinaryIO], bool], work: Cancellable = NEVER, param: str | None = None
    ) -> int | None:
        """Have what is written into the file taken for the slot's own; how many tokens that are. Nothing is done where
        `write` says so. `param` is the request's parameter at fault."""
        path = self._path
        try:
            path.unlink(missing_ok=True)
            with path.open("xb") as state:
                if not write(state):
                    return None
            return int(self._act("restore", path, work, param)["n_restored"])
        finally:
            path.unlink(missing_ok=True)

    def _act(self, action: str, path: Path, work: Cancellable, param: str | None = None) -> Any:
        asked = f"/slots/{self._slot}?action={action}"
        return self._server.ask(asked, {"filename": path.name}, work, param, seconds=_DISK)

    @property
    def _path(self) -> Path:
        """In the folder of the host's present life."""
        return self._host.directory / f"state-{self._slot}"
