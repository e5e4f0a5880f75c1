"""A thing that is stored, as the index knows it. Pure values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import DecodeError, Struct, field
from msgspec.json import decode, encode

from shared.errors import ArchiveDamaged


class ThingKind(StrEnum):
    """What is stored. Lists are of one kind."""

    RESPONSE = "response"
    CHAT = "chat.completion"
    CONVERSATION = "conversation"
    ITEM = "conversation.item"
    """Of the conversation that is its parent."""
    FILE = "file"
    UPLOAD = "upload"
    PART = "upload.part"
    """Of the upload that is its parent."""
    BATCH = "batch"
    OUTCOMES = "batch.outcomes"
    """What became of some lines of the batch that is its parent."""


ANSWERS = (ThingKind.RESPONSE, ThingKind.CHAT)
"""What makes room for others, the oldest first. All else stays until it expires or is removed."""


class Facts(dict[str, Any]):
    """Those of a thing that was stored. For one that is not there `[]` raises ArchiveDamaged."""

    def __init__(self, thing_id: str, facts: Mapping[str, Any]) -> None:
        super().__init__(facts)
        self._thing_id = thing_id

    @classmethod
    def read(cls, thing_id: str, text: str | bytes) -> Facts:
        """Those that an index has as JSON; none where that was damaged, so that the thing can still be removed."""
        try:
            found = decode(text)
        except DecodeError:
            found = None
        return cls(thing_id, found if isinstance(found, dict) else {})

    def __missing__(self, name: str) -> Any:
        raise ArchiveDamaged(f"{self._thing_id} lacks what was stored as its {name!r}")


class Thing(Struct, frozen=True, omit_defaults=True):
    """A thing that is stored. All but `facts`, `expires` and `version` stays as it was."""

    id: str
    """Of its own among all kinds, with its kind's prefix."""
    kind: ThingKind
    owner: str
    """The API key's name; empty where the gateway knows no keys. To another owner it does not exist."""
    created: int
    """Unix time in seconds. Lists are in the order in which things were added."""
    expires: int = 0
    """Unix time in seconds from which on it is gone; 0 for never."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What lists tell of it, and filter by: little JSON."""
    blob: str = ""
    """The name of what is in it; empty where the facts are all."""
    size: int = 0
    """Bytes of that."""
    parent: str = ""
    """The id of what it is a part of, with which it goes."""
    version: int = 1
    """Higher with each change."""

    @property
    def weight(self) -> int:
        """Bytes that count for its owner: of what is in it, and of its facts."""
        return self.size + len(encode(self.facts))

    def has(self, where: Mapping[str, str]) -> bool:
        """Whether its facts are these texts: by their names, or by names with a dot before what lies deeper."""
        return all(_fact(self.facts, *name.split(".", 1)) == value for name, value in where.items())


def _fact(facts: Mapping[str, Any], name: str, deeper: str | None = None) -> Any:
    fact = facts.get(name)
    if deeper is None:
        return fact
    return fact.get(deeper) if isinstance(fact, Mapping) else None


class Page(NamedTuple):
    """A part of a list."""

    things: Sequence[Thing]
    more: bool
    """There are others after these."""


class Held(NamedTuple):
    """What is stored of an owner, or of all."""

    things: int
    size: int
    """Bytes: their weights together."""
