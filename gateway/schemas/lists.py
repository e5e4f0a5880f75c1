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
    """The parameters `limit`, `after` and `order` of a query. Raises InvalidRequest."""
    text, order = given.get("limit") or str(usual), given.get("order") or ("desc" if descending else "asc")
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= most):
        raise _refuse("limit", f"an integer from 1 to {most}", text)
    if order not in ("asc", "desc"):
        raise _refuse("order", "asc or desc", order)
    return Paging(int(text), given.get("after") or "", order == "desc")


def part_of(things: Sequence[dict[str, Any]], paging: Paging) -> tuple[Sequence[dict[str, Any]], bool]:
    """The page of objects that are all at hand, each with its `id`, and whether there are others after it.

    Raises NotStored where there is nothing to go on after.
    """
    things = things[::-1] if paging.descending else things
    start = 0
    if paging.after:
        start = next((place for place, one in enumerate(things, 1) if one["id"] == paging.after), 0)
        if not start:
            raise NotStored(paging.after, param="after")
    return things[start : start + paging.limit], start + paging.limit < len(things)


def render_list(things: Sequence[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """A page of objects, each with its `id`."""
    first, last = (things[0]["id"], things[-1]["id"]) if things else (None, None)
    return {"object": "list", "data": list(things), "first_id": first, "last_id": last, "has_more": more}


def _refuse(name: str, expected: str, given: str) -> InvalidRequest:
    message = f"Invalid value for '{name}': expected {expected}, but got {given[:64]!r}."
    return InvalidRequest(message, param=name, code="invalid_value")
