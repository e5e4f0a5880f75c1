"""What a description by JSON Schema cannot say of requests in Ollama's words."""

from __future__ import annotations

import json

BEYOND = {
    ("model", "invalid_value"),  # of /api/show and /api/pull, by either name
    ("format", "invalid_value"),  # one that can be kept
    ("messages", "invalid_value"),  # the last one is no call, and nothing that was begun where there are tools
    ("context", "invalid_value"),  # only what was told, and not with `raw`
    ("system", "invalid_value"),  # not with `raw`
    ("logprobs", "invalid_value"),  # not in streams with tools
    ("dimensions", "invalid_value"),  # those that the model has
}
"""See `tests.fuzz.beyond.BEYOND`. Errors tell no code: it is `code_of` their status."""


def code_of(status: int) -> str:
    return "model_not_found" if status == 404 else "not_served" if status == 501 else "invalid_value"


def ends(stream: str) -> bool:
    """Whether lines of JSON have come to their end."""
    last = json.loads(stream.splitlines()[-1])
    return last.get("done") is True or last.get("status") == "success"


def only_loads(text: str) -> bool:
    """Whether it answers who only wants the model loaded: of what he says of an answer nothing is looked at."""
    return bool(json.loads(text.splitlines()[-1]).get("done_reason") == "load")
