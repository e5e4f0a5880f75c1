"""Responses over a WebSocket: a message asks for one, and is answered with its events, a message each.

Such a turn is a POST of the same request by the same client: its key is looked at again, its body is counted, its job
logged and measured, as anybody's. One comes after the other: what is sent meanwhile waits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BytesIO
from typing import Any

from flask import Flask
from msgspec.json import decode, encode
from wsproto.frame_protocol import CloseReason

from gateway.client import Client, Gone, TooSlow
from gateway.schemas.openai import render_failure
from gateway.socket_memory import TURN, SocketMemory, SocketTurn
from gateway.state import Gateway
from gateway.web_socket import WebSocket
from shared.errors import InferqError

log = logging.getLogger(__name__)

LONGEST_SOCKET = 3600.0
"""Seconds after which a socket takes no further message."""

_TAKEN = ("SERVER_", "REMOTE_", "SCRIPT_NAME", "wsgi.", "gunicorn.socket")
"""What the names of a handshake begin with that stand in the requests too."""
_HEADERS = (
    *("HOST", "AUTHORIZATION", "X_API_KEY", "ORIGIN", "REFERER", "SEC_FETCH_SITE"),
    *("USER_AGENT", "X_FORWARDED_FOR", "X_FORWARDED_PROTO", "X_REQUEST_TIMEOUT", "TRACEPARENT", "TRACESTATE"),
)
"""Of the handshake that hold for what is sent after it."""
_LAST = ("response.completed", "response.incomplete")
_LIMIT = InferqError(
    "This WebSocket has been open for as long as one may be. Please connect again.",
    code="websocket_connection_limit_reached",
)


def serve(app: Flask, client: Client, early: bytes, alive: Callable[[], bool]) -> None:
    """Serve a socket to its end; `early` was sent with its handshake, `alive` tells whether the process goes on."""
    assert client.upgraded is not None, "by its handshake"
    gateway: Gateway = app.extensions["inferq"]
    memory, begun = SocketMemory(client.owner), time.monotonic()
    socket = WebSocket(client, client.owner, gateway.config.largest_body(None), early)
    try:
        while (message := socket.receive(begun + LONGEST_SOCKET - time.monotonic())) is not None:
            client.slice.ask()
            with socket.listening():
                for said in _answer(app, client.upgraded, message, SocketTurn(memory)):
                    socket.send(said)
            client.step_aside()
            if not alive():
                socket.close(CloseReason.GOING_AWAY)
                return
        if socket.open:
            socket.send(_tell(render_failure(_LIMIT, 400), 400, {}))
            socket.close(CloseReason.NORMAL_CLOSURE)
    except TooSlow:
        socket.close(CloseReason.POLICY_VIOLATION, "a message did not arrive in time")
    except Gone:
        pass
    except Exception:
        log.exception("a WebSocket")
        socket.close(CloseReason.INTERNAL_ERROR)
    finally:
        memory.forget()
        socket.finish()


def _answer(app: Flask, handshake: Mapping[str, Any], message: bytes, turn: SocketTurn) -> Iterator[str]:
    """The messages that answer one."""
    started: list[tuple[str, Mapping[str, str]]] = []

    def start(status: str, headers: Iterable[tuple[str, str]], exc_info: object = None) -> Callable[[bytes], object]:
        started[:] = [(status, {name.lower(): value for name, value in headers})]
        return lambda data: None

    pieces: Any = app.wsgi_app(_environ(handshake, message, turn), start)
    response: dict[str, Any] | None = None
    try:
        [(status, headers)] = started
        if not status.startswith("200"):
            if body := b"".join(pieces):
                yield _tell(decode(body), int(status[:3]), headers)
            return
        for piece in pieces:
            for name, data in _events(piece):
                if name in _LAST:
                    response = decode(data)["response"]
                yield data.decode()
    finally:
        pieces.close()
        turn.end(response)


def _environ(handshake: Mapping[str, Any], message: bytes, turn: SocketTurn) -> dict[str, Any]:
    """A POST by who has sent the handshake."""
    same = {name: value for name, value in handshake.items() if name.startswith(_TAKEN)}
    headers = {f"HTTP_{name}": handshake[f"HTTP_{name}"] for name in _HEADERS if f"HTTP_{name}" in handshake}
    body = {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(message)), "wsgi.input": BytesIO(message)}
    place = {"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/responses", "QUERY_STRING": ""}
    return {**same, **headers, **body, **place, TURN: turn}


def _events(piece: bytes) -> Iterator[tuple[str, bytes]]:
    """Names and data of server-sent events: a piece holds whole ones."""
    for event in filter(None, piece.split(b"\n\n")):
        name, _, data = event.partition(b"\n")
        yield name.removeprefix(b"event: ").decode(), data.removeprefix(b"data: ")


def _tell(failure: dict[str, Any], status: int, headers: Mapping[str, str]) -> str:
    """An error that is no event of a response."""
    waits = {name: headers[name] for name in ("retry-after",) if name in headers}
    error = {**failure["error"], **({"headers": waits} if waits else {})}
    return encode({"type": "error", "status": status, "error": error}).decode()
