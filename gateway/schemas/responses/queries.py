"""The parameters of a query for a response."""

from __future__ import annotations

from typing import NamedTuple

from werkzeug.datastructures import MultiDict

from gateway.schemas.responses.include import read_include
from shared.errors import InvalidRequest


class Retrieval(NamedTuple):
    """How a response is to be told."""

    stream: bool
    after: int
    """The number of the last event of its stream that the client has; -1 for none."""


def read_retrieval(given: MultiDict[str, str]) -> Retrieval:
    """Raises InvalidRequest."""
    stream = _read_boolean("stream", given)
    _read_boolean("include_obfuscation", given)
    read_include([*given.getlist("include[]"), *given.getlist("include")])  # what there is of it is always told
    text = given.get("starting_after")
    if text is None:
        return Retrieval(stream, -1)
    if not stream:
        message = "Invalid 'starting_after': only allowed with 'stream=true'."
        raise InvalidRequest(message, param="starting_after")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise _refuse("starting_after", "the number of an event", text)
    return Retrieval(stream, int(text))


def _read_boolean(name: str, given: MultiDict[str, str]) -> bool:
    text = given.get(name, "false").lower()
    if text not in ("true", "false"):
        raise _refuse(name, "true or false", text)
    return text == "true"


def _refuse(name: str, expected: str, given: str) -> InvalidRequest:
    message = f"Invalid value for '{name}': expected {expected}, but got {given[:64]!r}."
    return InvalidRequest(message, param=name)
