"""The parameters of a query for a response."""

from __future__ import annotations

from typing import NamedTuple

from werkzeug.datastructures import MultiDict

from shared.errors import InvalidRequest

_INCLUDES = frozenset(
    {
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
        "message.input_image.image_url",
        "message.output_text.logprobs",
        "reasoning.encrypted_content",
        "web_search_call.action.sources",
        "web_search_call.results",
    }
)
"""Those of OpenAI. What a response has of them is always told."""


class Retrieval(NamedTuple):
    """How a response is to be told."""

    stream: bool
    after: int
    """The number of the last event of its stream that the client has; -1 for none."""


def read_retrieval(given: MultiDict[str, str]) -> Retrieval:
    """Raises InvalidRequest."""
    stream = _read_boolean("stream", given)
    _read_boolean("include_obfuscation", given)
    for name in (*given.getlist("include[]"), *given.getlist("include")):
        if name not in _INCLUDES:
            raise _refuse("include", f"one of {', '.join(sorted(_INCLUDES))}", name)
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
