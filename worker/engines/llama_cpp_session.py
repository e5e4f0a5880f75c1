"""A session: what llama.cpp has read and written in its first slot, in a file, so that it need not be read again.

The file begins with one line of JSON, which says what it belongs to; llama.cpp's own state follows. That is checked as
a whole before it is restored: llama.cpp takes most damages of it for truth.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import BinaryIO

from shared.errors import EngineError, InvalidRequest
from shared.regular_file import open_regular
from shared.whole_file import write_whole
from worker.engines.llama_cpp_state import SlotState

_FORMAT = "inferq session 1"
_HEADER_BYTES = 1024


class Sessions:
    """Saves and loads sessions of one engine, whose model has this `identity`: the state of its first slot."""

    def __init__(self, state: SlotState, identity: str) -> None:
        self._state, self._identity = state, identity

    def save(self, path: Path) -> None:
        """Raises EngineError."""
        try:
            with self._state.save() as (state, _):
                header = {"format": _FORMAT, "model": self._identity, "state": _sha256(state)}
                with write_whole(path, mode=0o600) as part, part.open("wb") as file:
                    file.write(json.dumps(header).encode() + b"\n")
                    shutil.copyfileobj(state, file)
        except OSError as exc:
            raise EngineError(f"cannot save the session {path}: {exc.strerror}") from exc

    def load(self, path: Path) -> None:
        """Raises InvalidRequest for a file that is no session, is damaged, or belongs to another model."""
        try:
            with open_regular(path) as file:
                self._check(path, file)

                def write(state: BinaryIO) -> bool:
                    shutil.copyfileobj(file, state)
                    return True

                self._state.restore(write, param="session")
        except OSError as exc:
            raise InvalidRequest(f"cannot load the session {path}: {exc.strerror}", param="session") from exc

    def _check(self, path: Path, file: BinaryIO) -> None:
        """Leaves the file at the beginning of the state."""
        try:
            header = json.loads(file.readline(_HEADER_BYTES))
            known = isinstance(header, dict) and header.get("format") == _FORMAT
        except (ValueError, RecursionError):
            known = False
        if not known:
            raise _refusal(path, "this is no session of inferq, or one of another version")
        if header.get("model") != self._identity:
            raise _refusal(path, "the session belongs to another model, adapter or RoPE setting")
        if header.get("state") != _sha256(file):
            raise _refusal(path, "the session is damaged")


def _sha256(file: BinaryIO) -> str:
    """Of the rest of the file; comes back to where it began."""
    start = file.tell()
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    file.seek(start)
    return digest.hexdigest()


def _refusal(path: Path, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{path}: {reason}; name another file, or remove it", param="session")
