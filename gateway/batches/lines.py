"""The lines of a batch's file: what each asks for, and whether all of them together make a batch. Pure.

A line is `{"custom_id", "method", "url", "body"}`; what else stands there is passed over, as blank lines are. What
the body asks for is no matter of the batch: it is read when its turn comes, and its faults are an answer to it alone.
Unlike OpenAI's, lines may name several models.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from msgspec import DecodeError, Raw, Struct, ValidationError
from msgspec.json import Decoder, decode

from gateway.batches.batch import BatchError
from gateway.schemas.problem import show

MOST_REQUESTS = 50_000
"""Requests of a batch, as OpenAI's."""
MOST_LINES = 100_000
"""Lines of a batch's file, with the blank ones."""
LONGEST_CUSTOM_ID = 512
"""Characters of a `custom_id`."""
LONGEST_TOLD_MODEL = 256
"""Characters of the name of a model that a batch tells: it is read again with each list of batches."""
MOST_ERRORS = 50
"""Errors of its file that a batch tells; the rest is not looked at."""
_ABSENT = Raw(b"null")


class BatchLine(NamedTuple):
    """What a line asks for."""

    custom_id: str
    body: bytes
    """JSON, an object as far as its first character tells."""


class _Members(Struct):
    """A line, none of which is understood yet: what is asked for may be large."""

    custom_id: Raw = _ABSENT
    method: Raw = _ABSENT
    url: Raw = _ABSENT
    body: Raw = _ABSENT


class _Body(Struct):
    model: str = ""


_MEMBERS, _BODY = Decoder(_Members), Decoder(_Body)


def read_line(raw: bytes, number: int, endpoint: str) -> BatchLine | BatchError:
    """What the line of that number, from 1, asks of the endpoint; or what is wrong with it."""
    try:
        found = _MEMBERS.decode(raw)
    except ValidationError:
        return BatchError("invalid_request", "This line is no JSON object.", None, number)
    except (DecodeError, RecursionError, UnicodeDecodeError):
        return BatchError("invalid_json_line", "This line is not parseable as valid JSON.", None, number)
    named = {"custom_id": _text(found.custom_id), "method": _text(found.method), "url": _text(found.url)}
    for name in (*named, "body"):
        if bytes(getattr(found, name)) == b"null":
            return BatchError("missing_required_parameter", f"Missing required parameter: '{name}'.", name, number)
        if named.get(name, "") is None:
            return BatchError("invalid_type", f"Invalid type for '{name}': expected a string.", name, number)
    custom_id, method, url = (text or "" for text in named.values())
    if not 1 <= len(custom_id) <= LONGEST_CUSTOM_ID:
        message = f"Invalid 'custom_id': expected 1 to {LONGEST_CUSTOM_ID} characters, but it has {len(custom_id)}."
        return BatchError("invalid_value", message, "custom_id", number)
    if method != "POST":
        message = f"Invalid 'method': only POST is supported, but it is {show(method)}."
        return BatchError("invalid_method", message, "method", number)
    if url != endpoint:
        message = f"Invalid 'url': the batch is for {endpoint}, but the request goes to {show(url)}."
        return BatchError("url_mismatch", message, "url", number)
    body = bytes(found.body)
    if not body.startswith(b"{"):
        return BatchError("invalid_type", "Invalid type for 'body': expected an object.", "body", number)
    return BatchLine(custom_id, body)


class Inspection:
    """Of all lines of a file, one after the other."""

    def __init__(self, endpoint: str) -> None:
        self.total = 0
        """Requests that were found."""
        self.model = ""
        """That the first request names."""
        self.errors: list[BatchError] = []
        """What is wrong; where there is anything, there is nothing to run."""
        self._endpoint = endpoint
        self._number = 0
        self._seen = dict[bytes, int]()
        """Where each `custom_id` stands. By its digest: 50,000 of them may have a hundred megabytes."""

    @property
    def over(self) -> bool:
        """No further line changes what is told."""
        return len(self.errors) >= MOST_ERRORS or self.total > MOST_REQUESTS or self._number > MOST_LINES

    def look(self, raw: bytes) -> None:
        """At the next line."""
        if self.over:
            return
        self._number += 1
        if self._number > MOST_LINES:
            self._refuse(MOST_LINES, "lines")
        elif raw.strip():
            self.total += 1
            if self.total > MOST_REQUESTS:
                self._refuse(MOST_REQUESTS, "requests")
            else:
                self._read(raw)

    def finish(self) -> None:
        """There are no further lines."""
        if not self.total:
            self.errors.append(BatchError("empty_file", "The file has no request.", None, None))

    def _read(self, raw: bytes) -> None:
        found = read_line(raw, self._number, self._endpoint)
        if isinstance(found, BatchLine):
            first = self._seen.setdefault(_digest(found.custom_id), self._number)
            if first != self._number:
                message = f"Line {first} has the same 'custom_id'; each request of a batch needs one of its own."
                found = BatchError("duplicate_custom_id", message, "custom_id", self._number)
            elif self.total == 1:
                self.model = model_of(found.body)
        if isinstance(found, BatchError):
            self.errors.append(found)

    def _refuse(self, most: int, what: str) -> None:
        message = f"The file has more than {most} {what}. Please divide it."
        self.errors.append(BatchError("too_many_tasks", message, None, self._number))


def _text(raw: Raw) -> str | None:
    """The string, if it is one that can be encoded."""
    try:
        return decode(raw, type=str)
    except (DecodeError, UnicodeDecodeError):
        return None


def model_of(body: bytes) -> str:
    """The name; empty where there is none, or none that a model has."""
    try:
        name = _BODY.decode(body).model
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return name if len(name) <= LONGEST_TOLD_MODEL else ""


def _digest(custom_id: str) -> bytes:
    return blake2b(custom_id.encode(), digest_size=16).digest()
