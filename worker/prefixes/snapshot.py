"""A snapshot: one file, of a line that says of which prefix it is, the engine's own state, and a digest of both."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shared.regular_file import open_regular
from worker.prefixes.chain import BLOCK, Chain

_FORMAT = "inferq snapshot 1"
LONGEST_LINE = 1 << 24
"""Bytes of the first line: a name of 32 digits for each block of tokens."""
_PIECE = 1 << 20
_UNREADABLE = {errno.EACCES, errno.EINVAL, errno.ELOOP}
"""What tells that a file cannot be read by us, now or later: it is somebody else's, or none."""
DIGEST = hashlib.sha256().digest_size
"""Bytes of the last part."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    path: Path
    chain: Chain

    @property
    def tokens(self) -> int:
        return len(self.chain) * BLOCK

    def is_of(self, tokens: int) -> bool:
        """Whether the engine's state may be one of so many tokens: those of a block that is not whole may follow."""
        return 0 <= tokens - self.tokens < BLOCK

    def read(self, into: BinaryIO, going_on: Callable[[], None]) -> bool:
        """Copy the engine's state; whether it is whole, and that of this prefix, and can be read. `going_on` is called
        now and then, and may raise. Raises OSError."""
        try:
            file = open_regular(self.path)
        except OSError as exc:
            if exc.errno in _UNREADABLE:
                return False
            raise
        with file:
            line = file.readline(LONGEST_LINE)
            hashed = hashlib.sha256(line)
            left = os.fstat(file.fileno()).st_size - len(line) - DIGEST
            while left > 0 and (piece := file.read(min(left, _PIECE))):
                going_on()
                hashed.update(piece)
                into.write(piece)
                left -= len(piece)
            into.flush()
            return left == 0 and file.read() == hashed.digest() and _parse(line) == list(self.chain)


def begin(chain: Chain) -> bytes:
    """The first line of the file."""
    return json.dumps({"format": _FORMAT, "chain": list(chain)}).encode() + b"\n"


def read_chain(path: Path) -> Chain | None:
    """Of which prefix a file is; None where it does not say so. Raises OSError."""
    with open_regular(path) as file:
        return _parse(file.readline(LONGEST_LINE))


def write_state(line: bytes, state: BinaryIO, size: int, fd: int, going_on: Callable[[], None]) -> None:
    """The rest of the file, after its first line: so many bytes of the engine's state, which may grow meanwhile.

    `going_on` is called now and then, and may raise. Raises OSError.
    """
    hashed = hashlib.sha256(line)
    with os.fdopen(os.dup(fd), "wb") as file:
        while size > 0 and (piece := state.read(min(size, _PIECE))):
            going_on()
            hashed.update(piece)
            file.write(piece)
            size -= len(piece)
        file.write(hashed.digest())


def _parse(line: bytes) -> Chain | None:
    try:
        told = json.loads(line)
        known = isinstance(told, dict) and told.get("format") == _FORMAT
        return [str(name) for name in told["chain"]] if known and line.endswith(b"\n") else None
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
