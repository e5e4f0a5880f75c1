"""Requests as they come in: gunicorn's parser, with bounds where it has none, and fixed words for what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gunicorn.http import errors
from gunicorn.http.body import ChunkedReader
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser

from gateway.client import Client, TooSlow

LARGEST_HEAD = 65_536
"""Bytes of a request's line and headers, and of a body's trailers."""
LARGEST_REST = 65_536
"""Bytes of a refused body that are read, so that its connection can be used again."""
LARGEST_MARKS = 65_536
"""Bytes of the marks of a body's chunks, beyond as many as those of its data."""


class TooFine(errors.ParseException):  # type: ignore[misc]  # gunicorn has no types
    """The chunks of a body hold less than their marks."""


class Incoming(Request):  # type: ignore[misc]  # gunicorn has no types
    """One request."""

    def parse(self, unreader: Any) -> Any:
        self.max_buffer_headers = LARGEST_HEAD
        return super().parse(unreader)

    _expected_100_continue: bool

    def set_body_reader(self) -> None:
        super().set_body_reader()
        # gunicorn would ask for the body now: the client does when it is read, if nothing has been refused until then.
        self.held_back, self._expected_100_continue = self._expected_100_continue, False
        if isinstance(reader := self.body.reader, ChunkedReader):
            if [value.lower() for name, value in self.headers if name == "TRANSFER-ENCODING"] != ["chunked"]:
                raise errors.UnsupportedTransferCoding("")  # gunicorn would pass a packed body on as it is
            reader.parser = _measured(reader.parser, self.unreader.sock)

    def should_close(self) -> bool:
        """Whether its answer is the connection's last."""
        return self.is_unread() or bool(super().should_close())

    def is_unread(self) -> bool:
        """Whether so much of its body was left that it is not worth reading, or who knows how much."""
        if isinstance(reader := self.body.reader, ChunkedReader):
            left = reader.parser is not None
        else:
            left = reader.length > (0 if self.unreader.sock.held_back else LARGEST_REST)
        return left or bool(self.body.failed)

    def release(self) -> None:
        """Its answer was sent: break the circles, which would stay in memory until somebody looks for such."""
        if isinstance(reader := self.body.reader, ChunkedReader):
            reader.req = None
            if reader.parser is not None:
                reader.parser = iter(())


class Parser(RequestParser):  # type: ignore[misc]  # gunicorn has no types
    """All requests of a connection."""

    mesg_class = Incoming


def _measured(pieces: Iterator[bytes], client: Client) -> Iterator[bytes]:
    """A chunked body's data. Raises TooFine where its marks outweigh it."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if client.received > 2 * size + LARGEST_MARKS:
            raise TooFine
        yield piece


_WORDS: dict[type[Exception], str] = {
    errors.InvalidRequestLine: "the request line cannot be read",
    errors.InvalidRequestMethod: "the method is none of HTTP's",
    errors.InvalidHTTPVersion: "the version is neither HTTP/1.0 nor HTTP/1.1",
    errors.InvalidHeader: "a header cannot be read",
    errors.InvalidHeaderName: "the name of a header is not allowed",
    errors.ObsoleteFolding: "a header goes on in the next line",
    errors.LimitRequestLine: "the request line is too long",
    errors.LimitRequestHeaders: "the headers are too many or too long",
    errors.ExpectationFailed: "nothing but `100-continue` can be expected",
    errors.UnsupportedTransferCoding: "no transfer coding but `chunked` is understood",
    errors.InvalidChunkSize: "the size of a chunk cannot be read",
    errors.InvalidChunkExtension: "the extension of a chunk cannot be read",
    errors.ChunkMissingTerminator: "a chunk does not end where it should",
    errors.InvalidSchemeHeaders: "the headers disagree about the scheme",
    errors.ConfigurationProblem: "the path does not begin with SCRIPT_NAME",
    TooFine: "the chunks of its body are too small",
    TooSlow: "the request took too long to arrive",
}
_FIELDS = {"CONTENT-LENGTH": "Content-Length", "TRANSFER-ENCODING": "Transfer-Encoding", "HOST": "Host"}


def words(error: errors.ParseException) -> str:
    """What is wrong with a request, without a byte of it: gunicorn's own words quote prompts and keys."""
    if isinstance(error, errors.InvalidHeader) and error.hdr in _FIELDS:
        return f"the header {_FIELDS[error.hdr]} is ambiguous or cannot be read"
    return next((_WORDS[kind] for kind in type(error).__mro__ if kind in _WORDS), "it cannot be understood")
