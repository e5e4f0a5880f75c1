"""The client of a request, by its WSGI environment; nobody where the server gives no socket."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from gateway.client import Client
from gateway.shortcut import Shortcut


def belong_to(owner: str, environ: Mapping[str, Any]) -> None:
    """Count the connection of a request as its owner's.

    Raises TooManyConnections where they are as many as may be, and none of them waits.
    """
    if client := _client(environ):
        client._crowd.count_owner(client, owner)


def await_turn(owner: str, environ: Mapping[str, Any]) -> bool:
    """Wait until a request's turn comes among those of its owner, as `aside` and `step_aside` end it.

    False where its client has left meanwhile and there is nothing to be done.
    """
    if client := _client(environ):
        client.set_to_work(client._crowd.rows.of(owner))
        return not (environ["REQUEST_METHOD"] == "POST" and client.has_left())  # a GET may be all that it had to say
    return True


def has_left(environ: Mapping[str, Any]) -> bool:
    """Whether the client of a request has closed its connection, or its side of it."""
    client = _client(environ)
    return client is not None and client.has_left()


def step_aside(environ: Mapping[str, Any]) -> None:
    """The request waits for nothing but events, from here on."""
    if client := _client(environ):
        client.step_aside()


def hold_head(environ: Mapping[str, Any]) -> None:
    """The request is answered next, with a head whose body follows at once: both go in one piece."""
    client = _client(environ)
    if client and client.upgraded is None and environ["REQUEST_METHOD"] != "HEAD":
        client.holds_head = True


def shortcut(environ: Mapping[str, Any]) -> Shortcut | None:
    """That of the request's answer, which is a stream; None where it does not go out in chunks, as by HTTP/1.1."""
    client = _client(environ)
    chunks = environ["REQUEST_METHOD"] != "HEAD" and environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    return Shortcut(client) if chunks and client and client.upgraded is None else None


def aside(environ: Mapping[str, Any]) -> AbstractContextManager[None]:
    """The request waits for nothing but an event, while this lasts."""
    return client.aside() if (client := _client(environ)) else nullcontext()


def upgrade(environ: Mapping[str, Any]) -> None:
    """A WebSocket begins where the answer to this request ends."""
    if client := _client(environ):
        client.upgraded = environ


def _client(environ: Mapping[str, Any]) -> Client | None:
    client = environ.get("gunicorn.socket")
    return client if isinstance(client, Client) else None
