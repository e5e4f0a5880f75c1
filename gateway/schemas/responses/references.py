"""What a request names that is stored: it is looked up before the request is read, see `gateway/references.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway.schemas.caps import MAX_MESSAGES
from gateway.schemas.format import Format
from gateway.schemas.responses.items import REFERENCE, Item
from gateway.schemas.responses.parts import Files, file_ids

_NO_ITEMS: Mapping[str, Item] = MappingProxyType({})
_NO_FILES: Files = MappingProxyType({})


class Names(NamedTuple):
    """The ids that a request names; of a request that nobody has looked at yet."""

    previous: str = ""
    conversation: str = ""
    items: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


class Referred(NamedTuple):
    """What was found."""

    inherited: tuple[Item, ...] = ()
    """The items of the response, or of the conversation, before."""
    items: Mapping[str, Item] = _NO_ITEMS
    """Those that are named by their ids."""
    files: Files = _NO_FILES
    tell: Callable[[list[Item]], object] = lambda items: None
    """Called with all items that the model is given."""


NOTHING = Referred()


class Referring(Format):
    """A format whose requests name what is stored: for each of these it is made anew, with what was found."""

    def __init__(self, referred: Referred = NOTHING) -> None:
        self.referred = referred


def names(body: object) -> Names:
    """What is wrong about it is left to who reads it."""
    if not isinstance(body, dict):
        return Names()
    previous, conversation = body.get("previous_response_id"), body.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    if previous is not None and conversation is not None:
        return Names()
    given = body.get("input")
    items = [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []
    items = items if len(items) <= int(MAX_MESSAGES) else []
    return Names(
        previous if isinstance(previous, str) else "",
        conversation if isinstance(conversation, str) else "",
        tuple(dict.fromkeys(item["id"] for item in items if _refers(item))),
        files_of(items),
    )


def files_of(items: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """The ids of the stored files that these name."""
    found = (each for item in items for name in ("content", "output") for each in file_ids(item.get(name)))
    return tuple(dict.fromkeys(found))


def _refers(item: Mapping[str, Any]) -> bool:
    refers = item.get("type") == REFERENCE or (item.get("type") is None and item.get("role") is None)
    return refers and isinstance(item.get("id"), str)
