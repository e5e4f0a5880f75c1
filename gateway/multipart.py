"""multipart/form-data (RFC 7578), read in pieces: its parts, of which only the heads are held. Pure.

Werkzeug's decoder is not used: it adds a byte to a file where a piece ends after the first dash of `--` behind the last
boundary.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from werkzeug.http import parse_options_header

from shared.errors import InvalidRequest

MOST_PARTS = 16
"""Parts of a form."""
LARGEST_PART_HEAD = 8192
"""Bytes of the headers of a part, of what stands before the first part, and of what stands after the last."""
LONGEST_BOUNDARY = 70
"""Characters of what separates parts, as RFC 2046 has it."""

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]*[0-9A-Za-z'()+_,./:=?-]")
_KIND = re.compile(r"[\w.+-]{1,64}/[\w.+-]{1,64}", re.ASCII)
_LINE = b"\r\n"
_ASIS = ("", "7bit", "8bit", "binary")
"""The codings in which the bytes of a part are what they are."""
UNKNOWN = "application/octet-stream"


class PartHead(NamedTuple):
    """What stands above the bytes of a part."""

    name: str
    filename: str | None
    kind: str
    """Its content type, without parameters."""


def parse_boundary(content_type: str) -> bytes:
    """That of a form. Raises InvalidRequest where the request has none."""
    kind, options = parse_options_header(content_type)
    if kind.lower() != "multipart/form-data":
        told = f"not {kind[:64]!r}" if kind else "and this request names no content type"
        raise _refuse(f"it must be a form, multipart/form-data, {told}")
    boundary = options.get("boundary", "")
    if len(boundary) > LONGEST_BOUNDARY or not _BOUNDARY.fullmatch(boundary):
        raise _refuse(f"Content-Type names no boundary of 1 to {LONGEST_BOUNDARY} characters")
    return boundary.encode()


def read_parts(pieces: Iterable[bytes], boundary: bytes) -> Iterator[PartHead | bytes]:
    """The head of each part, and after it its bytes in pieces. Raises InvalidRequest, and what `pieces` raise."""
    buffer = _Buffer(pieces)
    mark = _LINE + b"--" + boundary
    buffer.data += _LINE  # the first one may stand at the very beginning
    buffer.until(mark, "it does not begin with its boundary")
    for number in range(MOST_PARTS + 1):
        if buffer.take(2) == b"--":
            return buffer.finish()
        if number == MOST_PARTS:
            raise _refuse(f"it has more than {MOST_PARTS} parts")
        if buffer.until(_LINE, _NO_LINE).strip(b" \t"):
            raise _refuse(_NO_LINE)
        yield _parse_head(buffer.until(_LINE + _LINE, f"the head of a part has more than {LARGEST_PART_HEAD} bytes"))
        yield from buffer.pieces_until(mark)


_NO_LINE = "a boundary does not stand alone in its line"


class _Buffer:
    """What was received and is not used yet."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.data = bytearray()
        self._pieces = iter(pieces)

    def take(self, size: int) -> bytes:
        """The next bytes, which stay."""
        while len(self.data) < size:
            self._fill()
        return bytes(self.data[:size])

    def until(self, mark: bytes, problem: str) -> bytes:
        """What comes before a mark, which goes with it. Few bytes: else it is refused for the `problem`."""
        begin = 0
        while (end := self.data.find(mark, begin, LARGEST_PART_HEAD)) < 0:
            if len(self.data) >= LARGEST_PART_HEAD:
                raise _refuse(problem)
            begin = max(0, len(self.data) - len(mark) + 1)
            self._fill()
        found = bytes(self.data[:end])
        del self.data[: end + len(mark)]
        return found

    def pieces_until(self, mark: bytes) -> Iterator[bytes]:
        """The same, of any length."""
        while (end := self.data.find(mark)) < 0:
            if (safe := len(self.data) - len(mark) + 1) > 0:
                yield bytes(self.data[:safe])
                del self.data[:safe]
            self._fill()
        if end:
            yield bytes(self.data[:end])
        del self.data[: end + len(mark)]

    def finish(self) -> None:
        """Read what nobody needs."""
        size = len(self.data) - 2
        while size <= LARGEST_PART_HEAD:
            if not (piece := next(self._pieces, b"")):
                return
            size += len(piece)
        raise _refuse(f"more than {LARGEST_PART_HEAD} bytes follow its end")

    def _fill(self) -> None:
        piece = next(self._pieces, b"")
        if not piece:
            raise _refuse("it ends before its last boundary")
        self.data += piece


def _parse_head(raw: bytes) -> PartHead:
    try:
        lines = raw.decode().split("\r\n")
    except UnicodeDecodeError as exc:
        raise _refuse("the head of a part is not UTF-8") from exc
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    kind, options = parse_options_header(headers.get("content-disposition", ""))
    if kind.lower() != "form-data" or not options.get("name"):
        raise _refuse("a part has no header `Content-Disposition: form-data` with a name")
    if headers.get("content-transfer-encoding", "").lower() not in _ASIS:
        raise _refuse("a part must be sent as it is, without Content-Transfer-Encoding")
    told = headers.get("content-type", "").partition(";")[0].strip().lower()
    return PartHead(options["name"], options.get("filename"), told if _KIND.fullmatch(told) else UNKNOWN)


def _refuse(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The request body cannot be read: {reason}.")
