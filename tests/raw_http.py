"""Requests as bytes on a socket, and answers as they came: no library stands between, and tidies up."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import IO, Any

_PATIENCE = 60.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Message
    pieces: tuple[bytes, ...]
    """The body as it was framed: chunk by chunk where it came in chunks."""

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def exchange(
    address: tuple[str, int], request: str, headers: Mapping[str, str], body: bytes = b"", *, chunked: bool = False
) -> Answer:
    """Send it, and read the one answer. With `Expect: 100-continue` the body goes out when it was asked for.

    `request` is a method and a path, and a version where it is not HTTP/1.1; the length is added to the headers.
    """
    request = request if " HTTP/" in request else f"{request} HTTP/1.1"
    host, port = address
    fields = {"host": f"{host}:{port}", **headers}
    if chunked:
        fields["transfer-encoding"] = "chunked"
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:7], body[7:]) if part) + b"0\r\n\r\n"
    elif body:
        fields["content-length"] = str(len(body))
    head = "".join(f"{line}\r\n" for line in (request, *map(": ".join, fields.items()), "")).encode("latin-1")
    with socket.create_connection(address, _PATIENCE) as connection, connection.makefile("rb") as incoming:
        if "expect" in fields:
            connection.sendall(head)
            assert incoming.readline().startswith(b"HTTP/1.1 100 "), "the body was not asked for"
            assert incoming.readline() == b"\r\n"
            connection.sendall(body)
        else:
            connection.sendall(head + body)
        return _read(incoming, by_1_0=request.endswith("HTTP/1.0"))


def _read(incoming: IO[bytes], *, by_1_0: bool) -> Answer:
    line = incoming.readline()
    assert line.startswith(b"HTTP/1."), line
    status = int(line.split()[1])
    headers = http.client.parse_headers(incoming)
    if headers.get("transfer-encoding") == "chunked":
        assert not by_1_0, "HTTP/1.0 knows no chunks"
        return Answer(status, headers, tuple(_chunks(incoming)))
    length = headers.get("content-length")
    return Answer(status, headers, (incoming.read(int(length) if length is not None else -1),))


def _chunks(incoming: IO[bytes]) -> Iterator[bytes]:
    while size := int(incoming.readline(), 16):
        yield incoming.read(size)
        assert incoming.read(2) == b"\r\n"
    assert incoming.readline() == b"\r\n"
