"""A thing that is stored, as the index knows it. Pure values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from msgspec import Struct, field
from msgspec.json import encode


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
