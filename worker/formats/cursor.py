"""A place in a little-endian binary file, from which nothing is read that the file does not have."""

from __future__ import annotations

import os
import struct
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

from shared.errors import ModelFileError

U32, U64 = struct.Struct("<I"), struct.Struct("<Q")
_WINDOW = 1 << 16
"""Bytes that are read at once, for most that is asked for comes one after the other."""


class Cursor:
    """Reads forwards through the file's bytes; raises ModelFileError, with file and byte, where they do not suffice.

    It is read and not mapped: whoever reads a map of a file that is cut off meanwhile is killed. Raises OSError.
    """

    def __init__(self, path: Path, file: BufferedReader, at: int = 0) -> None:
        self.path, self.at = path, at
        self._fd = file.fileno()
        self.size = os.fstat(self._fd).st_size
        self._window, self._begin = b"", 0

    def bytes_at(self, at: int, length: int) -> bytes:
        end = at + length
        if not (self._begin <= at and end <= self._begin + len(self._window)):
            if end > self.size:
                self._refuse_end(at)
            self._window, self._begin = os.pread(self._fd, max(length, _WINDOW), at), at
            if len(self._window) < length:  # it is shorter now than it was
                self._refuse_end(at)
        return self._window[at - self._begin : end - self._begin]

    def number(self, layout: struct.Struct) -> Any:
        (value,) = layout.unpack(self.bytes_at(self.at, layout.size))
        self.at += layout.size
        return value

    def count(self, what: str, width: int) -> int:
        """A number of things of at least `width` bytes each, which the file has room for."""
        start = self.at
        count: int = self.number(U64)
        if count * width > self.size - self.at:
            self.refuse(start, f"the file says it has {count} {what}, but only {self.size - self.at} bytes follow")
        return count

    def text(self, what: str, most: int, *, strict: bool = False) -> str:
        """A string of at most `most` bytes; what is not UTF-8 is refused when `strict`, else replaced."""
        start, length = self.at, self.number(U64)
        most = min(most, self.size - self.at)
        if length > most:
            self.refuse(start, f"{what} is {length} bytes long; at most {most} are possible")
        raw = self.bytes_at(self.at, length)
        self.at += length
        try:
            return raw.decode(errors="strict" if strict else "replace")
        except UnicodeDecodeError:
            self.refuse(start, f"{what} is not UTF-8: {raw[:40]!r}")

    def skip_strings(self, what: str, count: int) -> None:
        at, length_at, window, begin = self.at, U64.unpack_from, b"", self.at
        for i in range(count):
            if at + 8 > begin + len(window):
                window, begin = os.pread(self._fd, _WINDOW, min(at, self.size)), at
                if len(window) < 8:
                    self.refuse(self.at, f"the file ends before string {i} of {what}")
            at += 8 + length_at(window, at - begin)[0]
        if at > self.size:
            self.refuse(self.at, f"the last string of {what} reaches beyond the end of the file")
        self.at = at

    def _refuse_end(self, at: int) -> NoReturn:
        self.refuse(at, f"the file ends inside its header: it has {self.size} bytes")

    def refuse(self, at: int, what: str, kind: type[ModelFileError] = ModelFileError) -> NoReturn:
        raise kind(f"{self.path}: at byte {at}: {what}")
