"""Forms with a file, as they come in: the file in pieces, everything else small, and so many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from flask import Request
from msgspec.json import encode
from werkzeug.exceptions import UnsupportedMediaType

from gateway.bodies import read_piece
from gateway.multipart import UNKNOWN, PartHead, parse_boundary, read_parts
from gateway.places import Places
from shared.errors import FileTooLarge, InvalidRequest

MOST_FORMS = 128
"""Forms with a file that a process receives at one time."""
MOST_KEY_FORMS = 16
"""Those of one API key."""
LARGEST_FORM_REST = 65_536
"""Bytes of a form beside its file."""
LARGEST_FIELD = 1024
"""Bytes of a field of a form that is no file."""

_places = Places("files are being received")


class FileForm:
    """One that is being received. What is known of it is known once it was met in `content`."""

    def __init__(
        self, pieces: Iterator[bytes], boundary: bytes, file: str, fields: tuple[str, ...], most: int, least: int
    ) -> None:
        """The file is called `file` and has `least` to `most` bytes; other parts are the `fields`."""
        self.least = least
        self.fields: dict[str, str] = {}
        self.filename = ""
        self.kind = UNKNOWN
        """The file's content type."""
        self._sum = sha256()
        self._parts = read_parts(pieces, boundary)
        self._file, self._known, self._most = file, fields, most

    def content(self) -> Iterator[bytes]:
        """The bytes of the file, and at first an empty piece. At its end the form has ended too.

        Raises InvalidRequest and FileTooLarge, with the name of the part, and what `read_piece` does.
        """
        part, size, found = PartHead("", None, UNKNOWN), 0, False
        text = bytearray()
        for event in self._parts:
            if isinstance(event, PartHead):
                self._end_field(part, text)
                part, size, text = event, 0, bytearray()
                self._begin(part, again=found)
                if part.name == self._file:
                    found = True
                    self.filename, self.kind = part.filename or "", part.kind
                    yield b""
                continue
            size += len(event)
            if part.name == self._file:
                if size > self._most:
                    raise too_large(self._file, self._most)
                self._sum.update(event)
                yield event
            elif size > LARGEST_FIELD:
                raise _refuse(part.name, f"has more than {LARGEST_FIELD} bytes", "string_above_max_length")
            else:
                text += event
        self._end_field(part, text)
        if not found:
            message = f"Missing required parameter '{self._file}': the form has no file of this name."
            raise InvalidRequest(message, param=self._file, code="missing_required_parameter")

    @property
    def mark(self) -> str:
        """By which the same form is known, however it was written."""
        told = encode([self.filename, self.kind, sorted(self.fields.items())])
        return sha256(told + self._sum.digest()).hexdigest()

    def _begin(self, part: PartHead, *, again: bool) -> None:
        """Raises InvalidRequest for a part that must not come."""
        if part.name == self._file:
            if again:
                raise _refuse(part.name, "came twice: a form holds one file")
        elif part.name not in self._known:
            name = part.name[:64]
            raise InvalidRequest(f"Unknown parameter '{name}'.", param=name, code="unknown_parameter")
        elif part.name in self.fields:
            raise _refuse(part.name, "came twice")
        elif part.filename is not None:
            raise _refuse(part.name, "must be a text, not a file", "invalid_type")

    def _end_field(self, part: PartHead, text: bytearray) -> None:
        if part.name in self._known:
            try:
                self.fields[part.name] = text.decode()
            except UnicodeDecodeError as exc:
                raise _refuse(part.name, "is not UTF-8") from exc


@contextmanager
def received(request: Request, owner: str, file: str, fields: tuple[str, ...], most: int) -> Iterator[FileForm]:
    """The form that is the body of a request, to be read within.

    Raises InvalidRequest, FileTooLarge, GatewayBusy, UnsupportedMediaType.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("The request body must be sent as it is, without Content-Encoding")
    boundary = parse_boundary(request.headers.get("Content-Type", ""))
    request.max_content_length = most + LARGEST_FORM_REST
    if (request.content_length or 0) > request.max_content_length:
        raise too_large(file, most)
    with _places.taken(owner, MOST_FORMS, MOST_KEY_FORMS):
        least = max(0, (request.content_length or 0) - LARGEST_FORM_REST)
        yield FileForm(_pieces(request), boundary, file, fields, most, least)


def _pieces(request: Request) -> Iterator[bytes]:
    while piece := read_piece(request):
        yield piece


def too_large(file: str, most: int) -> FileTooLarge:
    return FileTooLarge(f"Invalid '{file}': it is larger than {most} bytes.", param=file)


def _refuse(name: str, reason: str, code: str = "invalid_value") -> InvalidRequest:
    return InvalidRequest(f"Invalid '{name}': it {reason}.", param=name, code=code)
