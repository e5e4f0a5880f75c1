"""The ids of items: of what a response says they tell in which response and at which place, so that whoever refers to
one by its id alone can be told it."""

from __future__ import annotations

import re

PREFIX = "resp_"
"""What the ids of responses begin with."""
_OUTPUT = re.compile(r"[a-z]{2,5}_(?P<job>[0-9a-f]{32})[0-9a-f]{4}")


def output_id(prefix: str, response_id: str, place: int) -> str:
    """Of the item at this place of a response's output; `prefix` is its kind's: `msg`, `rs`, `fc`, `ctc`."""
    return f"{prefix}_{response_id.removeprefix(PREFIX)}{place:04x}"


def response_of(item_id: str) -> str:
    """The id of the response that has said it; empty where its id does not tell."""
    found = _OUTPUT.fullmatch(item_id)
    return PREFIX + found["job"] if found else ""
