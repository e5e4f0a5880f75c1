"""OpenAI's lists, page by page. Whoever reads on asks for what comes after the last id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from shared.errors import InvalidRequest, NotStored

USUAL_PAGE = 20


class Paging(NamedTuple):
    """Which part of a list is asked for."""

    limit: int
    after: str = ""
    descending: bool = True


def read_paging(
    given: Mapping[str, str], *, usual: int = USUAL_PAGE, most: int = 100, descending: bool = True
) -> Paging:
    """The parameters `limit`, `after` and `order` of a query; an empty one is not given. Raises InvalidRequest.

    `before`, which none of these lists has at OpenAI, is refused: who reads backwards would read one page for ever.
    """
    if given.get("before"):
        message = "Unsupported parameter: 'before'. Lists go on with 'after', and 'order' turns them round."
        raise InvalidRequest(message, param="before", code="unsupported_parameter")
    text, order = given.get("limit") or str(usual), given.get("order") or ("desc" if descending else "asc")
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= most):
        raise _refuse("limit", f"an integer from 1 to {most}", text)
    if order not in ("asc", "desc"):
        raise _refuse("order", "asc or desc", order)
    return Paging(int(text), given.get("after") or "", order == "desc")


def take_page(things: Sequence[dict[str, Any]], paging: Paging) -> dict[str, Any]:
    """The page of a list that is all at hand, in its ascending order. Raises NotStored where `after` is none of it."""
    ordered = list(reversed(things)) if paging.descending else list(things)
    start = 0
    if paging.after:
        places = [place for place, thing in enumerate(ordered, 1) if thing["id"] == paging.after]
        if not places:
            raise NotStored(paging.after, param="after")
        start = places[0]
    end = start + paging.limit
    return render_list(ordered[start:end], more=end < len(ordered))


def render_list(things: Sequence[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """A page of objects, each with its `id`."""
    return render_page([(thing["id"], thing) for thing in things], more=more)


def render_page(things: Sequence[tuple[str, Any]], *, more: bool) -> dict[str, Any]:
    """The same, of objects that are JSON already, each beside its id."""
    first, last = (things[0][0], things[-1][0]) if things else (None, None)
    return {
        "object": "list",
        "data": [thing for _, thing in things],
        "first_id": first,
        "last_id": last,
        "has_more": more,
    }


def _refuse(name: str, expected: str, given: str) -> InvalidRequest:
    message = f"Invalid value for '{name}': expected {expected}, but got {given[:64]!r}."
    return InvalidRequest(message, param=name, code="invalid_value")
