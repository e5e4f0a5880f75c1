"""What a client has made and stored, once however often it asks: it asks again where an answer was lost.

A request with an `Idempotency-Key` makes a thing whose id is made of that key, and the archive takes an id once. The
`openai` client sends none, but counts its attempts: any but the first finds what the same request has made lately.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from msgspec.structs import replace
from werkzeug.datastructures import Headers

from gateway.archive.index import MOST_PAGE
from gateway.archive.thing import Thing, ThingKind
from gateway.attempts import fingerprint, read_count, read_key
from gateway.state import this_gateway
from shared.errors import IdempotencyKeyReused, NotStored

LATELY = 900
"""Seconds for which what was made is found without a key, if it is one of the owner's last `MOST_PAGE` things of its
kind: the `openai` client waits for an answer for up to 600."""


class MadeBefore(Exception):
    """What a request asks for is there. It is for `Creation` alone."""

    def __init__(self, thing: Thing) -> None:
        super().__init__(thing.id)
        self.thing = thing


class Creation:
    """That of one request, of one thing."""

    def __init__(self, owner: str, path: str, headers: Headers, mark: str = "") -> None:
        """`mark` is the request's fingerprint; empty where it is not known before `know`."""
        key = read_key(headers)
        self.owner = owner
        self.seed = fingerprint(owner, path, key)[:32] if key else uuid4().hex
        """Characters of which ids of what is made are made: the same when a request comes again with its key."""
        self._keyed = bool(key)
        self._again = (read_count(headers) or 0) > 0
        self._mark = mark

    @property
    def facts(self) -> dict[str, Any]:
        """What the facts of the thing have beside its own: by them it is known again."""
        return {"mark": self._mark}

    def once(self, kind: ThingKind, prefix: str, make: Callable[[Thing], Thing | None]) -> Thing:
        """What `make` stores of the thing that it is given, or what was made before. It returns None where there is
        such a thing already.

        Raises IdempotencyKeyReused where another request has made that, and what `make` does.
        """
        draft = Thing(f"{prefix}{self.seed}", kind, self.owner, int(time.time()), facts=self.facts)
        try:
            if self._mark:
                self._look(draft)
            if made := make(draft):
                return made
            self._look(draft)
        except MadeBefore as exc:
            return exc.thing
        raise NotStored(draft.id)  # it has expired, or went at this moment

    def know(self, draft: Thing, mark: str) -> Thing:
        """The thing, once it is known what is asked for. What this raises leaves `make` through to `once`."""
        self._mark = mark
        self._look(draft)
        return replace(draft, facts={**draft.facts, **self.facts})

    def _look(self, draft: Thing) -> None:
        """Raises MadeBefore, IdempotencyKeyReused."""
        archive = this_gateway().archive
        if self._keyed:
            try:
                found = archive.find(self.owner, draft.kind, draft.id)
            except NotStored:
                return
            if found.facts.get("mark") != self._mark:
                raise IdempotencyKeyReused("This Idempotency-Key was used with another request.")
            raise MadeBefore(found)
        if self._again:
            for found in archive.page(self.owner, draft.kind, limit=MOST_PAGE).things:
                if found.facts.get("mark") == self._mark and draft.created - found.created < LATELY:
                    raise MadeBefore(found)
