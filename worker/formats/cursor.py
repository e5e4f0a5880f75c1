"""A place in a little-endian binary file, from which nothing is read that the file does not have."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any, NoReturn

from shared.errors import ModelFileError

U32, U64 = struct.Struct("<I"), struct.Struct("<Q")


class Cursor:
    """Reads forwards through the file's bytes; raises ModelFileError, with file and byte, where they do not suffice."""

    def __init__(self, path: Path, data: mmap.mmap, at: int = 0) -> None:
        self.path, self.data, self.size, self.at = path, data, len(data), at

    def number(self, layout: struct.Struct) -> Any:
        if self.at + layout.size > self.size:
            self.refuse(self.at, f"the file ends inside its header: it has {self.size} bytes")
        (value,) = layout.unpack_from(self.data, self.at)
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
        raw = self.data[self.at : self.at + length]
        self.at += length
        try:
            return raw.decode(errors="strict" if strict else "replace")
        except UnicodeDecodeError:
            self.refuse(start, f"{what} is not UTF-8: {raw[:40]!r}")

    def skip_strings(self, what: str, count: int) -> None:
        data, at, last, length_at = self.data, self.at, self.size - 8, U64.unpack_from
        for i in range(count):
            if at > last:
                self.refuse(self.at, f"the file ends before string {i} of {what}")
            at += 8 + length_at(data, at)[0]
        if at > self.size:
            self.refuse(self.at, f"the last string of {what} reaches beyond the end of the file")
        self.at = at

    def refuse(self, at: int, what: str, kind: type[ModelFileError] = ModelFileError) -> NoReturn:
        raise kind(f"{self.path}: at byte {at}: {what}")
