"""What a WebSocket remembers of its last response that is stored nowhere, so that the next one can go on with it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flask import has_request_context, request
from msgspec.json import decode, encode

from gateway.schemas.responses.items import Item
from shared.errors import InvalidRequest

TURN = "inferq.turn"
"""Where a request has its `SocketTurn`, in its WSGI environment."""
MOST_REMEMBERED_BYTES = 67_108_864
"""Bytes that all sockets of a process remember."""
MOST_KEY_REMEMBERED_BYTES = MOST_REMEMBERED_BYTES // 2
"""Those of one API key."""

_CREATE = "response.create"
_held: Counter[str] = Counter()
"""Bytes by owner."""


class SocketMemory:
    """Of one socket: a response at most."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._id, self._items = "", b""

    def keep(self, response_id: str, items: list[Item]) -> None:
        """Instead of the one before; where there is no room for it, neither is remembered."""
        self.forget()
        blob = encode(items)
        if _held.total() + len(blob) > MOST_REMEMBERED_BYTES:
            return
        if _held[self._owner] + len(blob) > MOST_KEY_REMEMBERED_BYTES:
            return
        self._id, self._items = response_id, blob
        _held[self._owner] += len(blob)

    def recall(self, response_id: str) -> list[Item] | None:
        """All items of the response: those that it was given, and those that it says."""
        items: list[Item] | None = decode(self._items) if self._id and response_id == self._id else None
        return items

    def forget(self) -> None:
        _held[self._owner] -= len(self._items)
        if not _held[self._owner]:
            del _held[self._owner]
        self._id, self._items = "", b""


class SocketTurn:
    """One message of a socket that asks for a response, while it is answered."""

    def __init__(self, memory: SocketMemory) -> None:
        self._memory = memory
        self._given = list[Item]()
        self._goes_on = False

    def amend(self, asked: Any) -> Any:
        """The message as the body of a POST. Raises InvalidRequest."""
        if not isinstance(asked, dict):
            return asked
        if asked.get("type") != _CREATE:
            raise InvalidRequest(f"Invalid 'type': only '{_CREATE}' is known here.", param="type")
        for name, usual in (("background", False), ("generate", True)):
            if asked.get(name) not in (None, usual):
                raise InvalidRequest(f"Unsupported '{name}' over a WebSocket.", param=name, code="unsupported_value")
        rest = {
            name: value for name, value in asked.items() if name not in ("type", "stream", "background", "generate")
        }
        return {**rest, "stream": True}

    def recall(self, response_id: str) -> list[Item] | None:
        found = self._memory.recall(response_id)
        self._goes_on = found is not None
        return found

    def note(self, items: list[Item]) -> None:
        """These are given to the model."""
        self._given = items

    def end(self, response: dict[str, Any] | None) -> None:
        """It was answered with this one; None where that failed: then nobody can go on with what it went on with."""
        if response and not response["store"]:
            self._memory.keep(response["id"], [*self._given, *response["output"]])
        elif response is None and self._goes_on:
            self._memory.forget()


def current_turn() -> SocketTurn | None:
    """That of the current request; None for one that came by itself, or in a file."""
    found: SocketTurn | None = request.environ.get(TURN) if has_request_context() else None
    return found
