"""The body of a request, before anybody asks what it means.

What a body makes of itself in memory, and how long it takes, depends less on its bytes than on what they are: 4 MB of
`[],` are 1.4 million lists. So that is counted first, without making any of it.
"""

from __future__ import annotations

import codecs
import re
from typing import Any

from msgspec import DecodeError, ValidationError
from msgspec.json import Decoder

from shared.errors import InvalidRequest

MOST_MEMBERS = 100_000
"""Arrays, objects, and the latter's keys, that a body may have in all."""
MOST_VALUES = 500_000
"""Values that a body may have in all, such as token ids."""

_SLICE = 262_144
"""Bytes that are counted at once: less than a millisecond."""
_WORDS = bytes(set(range(256)) - set(b'",[{:'))
"""All that does not count."""

_DECODER: Decoder[Any] = Decoder()
_PLACE = re.compile(r"^JSON is malformed: (?P<reason>.+) \(byte (?P<byte>\d+)\)$")


def load_body(raw: bytes) -> object:
    """What a request says; no bytes, and null, are an object with nothing in it: as clients send what asks for nothing.

    Raises InvalidRequest.
    """
    said = load_json(raw) if raw else None
    return {} if said is None else said


def load_json(raw: bytes) -> object:
    """Strict JSON in UTF-8, a byte order mark allowed. Raises InvalidRequest, saying where and what."""
    raw = raw.removeprefix(codecs.BOM_UTF8)
    if len(raw) > MOST_MEMBERS:  # else there is no room for more
        _refuse_flood(raw)
    try:
        return _DECODER.decode(raw)
    except UnicodeDecodeError as exc:
        raise _invalid(f"it is not UTF-8{_not_utf8(raw)}") from exc
    except ValidationError as exc:
        raise _invalid("a number is too large, or has too many digits") from exc
    except DecodeError as exc:
        raise _invalid(_malformed(raw, str(exc))) from exc
    except RecursionError as exc:
        raise _invalid("it is nested too deeply") from exc


def _malformed(raw: bytes, words: str) -> str:
    """Where the decoder stumbled, in words."""
    found = _PLACE.match(words)
    if found is None:
        return "it ends too early, or has half a surrogate pair"
    byte = min(int(found["byte"]), len(raw))
    line, column = raw.count(b"\n", 0, byte) + 1, byte - raw.rfind(b"\n", 0, byte)
    return f"{found['reason']} at line {line}, column {column}"


def _not_utf8(raw: bytes) -> str:
    try:
        raw.decode()
    except UnicodeDecodeError as exc:
        return f" at byte {exc.start}"
    return ""


def _refuse_flood(raw: bytes) -> None:
    """Count what stands outside of strings, in slices, so that other threads have their turn in between."""
    begin, quotes, members, values = 0, 0, 0, 1
    while begin < len(raw):
        piece = raw[begin : begin + _SLICE]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:  # what it escapes belongs to it
            piece = raw[begin : begin + _SLICE + 1]
        begin += len(piece)
        marks = piece.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _WORDS)
        outside = b"".join(marks.split(b'"')[quotes % 2 :: 2])
        quotes += marks.count(b'"')
        members += sum(map(outside.count, (b"[", b"{", b":")))
        values += outside.count(b",")
        if members > MOST_MEMBERS:
            raise _too_much(f"{MOST_MEMBERS} arrays, objects and keys")
        if values > MOST_VALUES:
            raise _too_much(f"{MOST_VALUES} values")


def _too_much(what: str) -> InvalidRequest:
    return InvalidRequest(f"The request body has more than {what}.", code="invalid_value")


def _invalid(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The request body is not valid JSON: {reason}.", code="invalid_json")
