"""What a worker and its host of vectors say to each other: a question on each connection, and what is told of it.

Each is one record in MessagePack, after its length in bytes (32 bits, little-endian).
"""

from __future__ import annotations

import socket
import struct
from typing import Any

import msgspec

LENGTH = struct.Struct("<I")
LARGEST_QUESTION = 33_554_432
"""Bytes."""
LARGEST_TELLING = 67_108_864
"""Bytes that a host may tell at once."""

Piece = str | list[int]
"""Of what is read at once: a text, or tokens."""


class PooledInput(msgspec.Struct, frozen=True, array_like=True):
    """Some pieces that follow each other. Of the one at `place` the end is cut off where the whole is too long, after
    `cut` tokens or as many as there is room for, the less; with None nothing is. Where texts are `marked`, the names of
    special tokens in them are those."""

    pieces: list[Piece]
    place: int = 0
    cut: int | None = None
    marked: bool = False


class Tokenizing(msgspec.Struct, frozen=True, array_like=True, tag="tokenize"):
    """Tell the tokens of each text: lists of them. All of them `begin`, or none; see `PoolingContext.tokenize`."""

    texts: list[str]
    begins: bool
    special: bool


class Marking(msgspec.Struct, frozen=True, array_like=True, tag="mark"):
    """Tell what stands before, between and after a query and a document: three lists of tokens."""


class Counting(msgspec.Struct, frozen=True, array_like=True, tag="count"):
    """Tell how many tokens each of them has: numbers."""

    readings: list[PooledInput]


class Pooling(msgspec.Struct, frozen=True, array_like=True, tag="pool"):
    """Tell the vector of each, several at a time: lists of a place, how many tokens were read, and a vector; none where
    what was computed are no numbers."""

    readings: list[PooledInput]


Question = Tokenizing | Marking | Counting | Pooling

_encoder = msgspec.msgpack.Encoder()
_questions = msgspec.msgpack.Decoder(Question)


def write(record: Any) -> bytes:
    body = _encoder.encode(record)
    return LENGTH.pack(len(body)) + body


def read_question(body: bytes | bytearray) -> Question:
    """Raises ValueError."""
    question: Question = _questions.decode(body)
    return question


def receive(connection: socket.socket, size: int) -> bytearray:
    """So many bytes. Raises OSError where the other side ends before."""
    body = bytearray(size)
    view, got = memoryview(body), 0
    while got < size:
        if not (count := connection.recv_into(view[got:])):
            raise ConnectionResetError("the connection has ended early")
        got += count
    return body
