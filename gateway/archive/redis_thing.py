"""A thing as a list in MessagePack, which the scripts read and write too: without its id, with its place. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import json, msgpack

from gateway.archive.thing import Facts, Thing, ThingKind

_ID = "*"
"""Stands for the thing's id in the name of its blob."""


def pack(thing: Thing) -> bytes:
    """Its words before it has a place."""
    head = (thing.kind, thing.owner, thing.created, thing.expires, json.encode(thing.facts).decode())
    tail = (thing.blob.replace(thing.id, _ID), thing.size, thing.parent, thing.version)
    return msgpack.encode((*head, *tail, 0))


def unpack(thing_id: str, words: bytes) -> Thing:
    """The thing that has these words."""
    kind, owner, created, expires, text, blob, size, parent, version, _ = msgpack.decode(words)
    facts, blob = Facts.read(thing_id, text), blob.replace(_ID, thing_id)
    return Thing(thing_id, ThingKind(kind), owner, created, expires, facts, blob, size, parent, version)


def unpack_all(found: Sequence[bytes]) -> list[Thing]:
    """Of ids and words in turn."""
    return [unpack(thing_id.decode(), words) for thing_id, words in zip(found[::2], found[1::2], strict=True)]
