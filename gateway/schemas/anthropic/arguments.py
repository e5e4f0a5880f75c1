"""The arguments of a call as the object that Anthropic's `input` is, whatever the model has written."""

from __future__ import annotations

import re

from msgspec import DecodeError, Raw
from msgspec.json import decode

from gateway.schemas.openai import encode

_TOKEN = re.compile(
    r"\s*(?:(?P<open>[{\[])|(?P<close>[}\]])|(?P<colon>:)|,"
    r'|(?P<value>"(?:[^"\\]++|\\.)*+"|(?:-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.+-])))',
    re.DOTALL,
)
_CLOSERS = {"{": "}", "[": "]"}
_NO_OBJECT = "INVALID_JSON"
"""What Anthropic's guide puts arguments under that are no JSON."""


def complete(arguments: str) -> Raw:
    """The arguments as an object, as the model has written it.

    Of those that were cut off, as much as was written in full: what clients make of the same arguments as they come. A
    text that is no beginning of an object is a member of one.
    """
    for text in (arguments or "{}", _close(arguments)):
        if _is_object(text):
            return Raw(text.encode())
    return Raw(encode({_NO_OBJECT: arguments}))


def _is_object(text: str) -> bool:
    try:
        return isinstance(decode(text), dict)
    except (DecodeError, RecursionError):
        return False


def _close(text: str) -> str:
    """The text up to its last whole value, and the brackets that are open there closed."""
    place, end, named, open_ = 0, 0, False, list[str]()
    while found := _TOKEN.match(text, place):
        place = found.end()
        if found["open"]:
            open_.append(_CLOSERS[found["open"]])
        elif found["close"] and open_:
            open_.pop()
        if found["open"] or found["close"] or (found["value"] and (named or open_[-1:] == ["]"])):
            end = place
        named = bool(found["colon"])
    return text[:end] + "".join(reversed(open_))
