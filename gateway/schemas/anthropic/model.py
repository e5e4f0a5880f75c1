"""Models in Anthropic's words, and its lists, which come in pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from shared.card import Card
from shared.errors import InvalidRequest

MOST_LISTED = 1000
"""Models of one page."""
USUAL_PAGE = 20
_STAGE = "active"
"""Where all models are here: none is announced to go."""


def list_models(served: Sequence[tuple[Card, str]], query: Mapping[str, list[str]]) -> dict[str, Any]:
    """One page of the models, each under one of its names. Raises InvalidRequest, naming the parameter."""
    if (wanted := query.get("lifecycle[]")) and _STAGE not in wanted:
        served = ()
    names = [name for _, name in served]
    given, after, before = (query.get(name, [""])[0] for name in ("limit", "after_id", "before_id"))
    limit = _limit(given)
    if after and before:
        raise InvalidRequest("Only one of 'after_id' and 'before_id' is allowed.", param="before_id")
    if before:
        end = _place(names, before, "before_id")
        begin = max(0, end - limit)
        more = begin > 0
    else:
        begin = _place(names, after, "after_id") + 1 if after else 0
        end = begin + limit
        more = end < len(names)
    page = served[begin:end]
    return {
        "data": [describe_model(card, name) for card, name in page],
        "has_more": more,
        "first_id": page[0][1] if page else None,
        "last_id": page[-1][1] if page else None,
    }


def describe_model(card: Card, name: str) -> dict[str, Any]:
    """The model under one of its names. What is not known before it is loaded is null."""
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": datetime.fromtimestamp(card.created, UTC).isoformat().replace("+00:00", "Z"),
        "lifecycle": _STAGE,
        "max_input_tokens": card.context or None,
        "max_tokens": card.context or None,
    }


def _limit(given: str) -> int:
    if not given:
        return USUAL_PAGE
    if not (given.isascii() and given.isdecimal() and len(given) <= 4 and 1 <= int(given) <= MOST_LISTED):
        raise InvalidRequest(
            f"limit: expected an integer from 1 to {MOST_LISTED}, but got {given[:64]!r}.", param="limit"
        )
    return int(given)


def _place(names: Sequence[str], name: str, parameter: str) -> int:
    if name not in names:
        raise InvalidRequest(f"{parameter}: no model {name[:64]!r} is listed.", param=parameter)
    return names.index(name)
