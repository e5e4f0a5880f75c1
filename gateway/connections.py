"""gunicorn's gevent process, corrected where it meets clients without asking the application."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import gevent
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.util import write_nonblock
from gunicorn.workers.ggevent import GeventWorker

from shared.errors import InferqError, InvalidRequest, RequestTooSlow

_PATIENCE = 1.0
"""Seconds that a new connection has to send its request while the process ends."""
_RATE = 16_384
"""Bytes a second at which a request may arrive for as long as it likes."""
_SPARE = 67_108_864
"""Bytes that are read beyond the largest body: the marks of its chunks, and what is sent after it was refused."""
_FULL = 0.9
"""The part of all connections from which on a new one takes the place of one that waits for a request."""


class TooSlow(ParseException):  # type: ignore[misc]  # gunicorn has no types
    """A request did not arrive in time."""

    def __str__(self) -> str:
        return "the request took too long to arrive"


class Client:
    """A client's socket, as gunicorn sees it, with limits on the time that a head or a body takes, and on its size."""

    def __init__(self, sock: Any, patience: float, largest_body: int) -> None:
        self._socket = sock
        self._patience = patience
        self._largest = largest_body + _SPARE
        self.expect_body()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def expect_request(self, seconds: float) -> None:
        """The rest of the last request may come, and the head of the next: its first bytes within `seconds`."""
        self._begun, self._due, self._left = False, time.monotonic() + seconds, self._largest

    def expect_body(self) -> None:
        self._begun, self._due, self._left = True, time.monotonic() + self._patience, self._largest

    def recv(self, size: int) -> bytes:
        """Raises TooSlow, or NoMoreData where no request has begun or it is larger than any that is answered."""
        if self._left <= 0:
            raise NoMoreData
        # The timeout must not stay: it would also hit an answer that is read slowly.
        self._socket.settimeout(max(0.001, self._due - time.monotonic()))
        try:
            data: bytes = self._socket.recv(size)
        except TimeoutError:
            raise TooSlow if self._begun else NoMoreData from None
        finally:
            self._socket.settimeout(None)
        if not self._begun:
            self._begun, self._due = True, time.monotonic() + self._patience
        self._due += len(data) / _RATE
        self._left -= len(data)
        return data

    def sendall(self, data: bytes) -> None:
        """What goes at once goes without asking gevent, whose own takes several times as long over a small piece."""
        try:
            sent = self._socket._sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self._socket.sendall(memoryview(data)[sent:])


class Connections(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """Refuses what is not HTTP in JSON instead of HTML, cuts off who sends too slowly, waits for nobody at its end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._clients: dict[gevent.Greenlet, Client] = {}
        self._waiting: dict[gevent.Greenlet, None] = {}
        """Who waits for a request, the longest first."""

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection to its end."""
        if self._waiting and len(self._clients) >= self.worker_connections * _FULL:
            longest = next(iter(self._waiting))
            del self._waiting[longest]
            gevent.kill(longest)
        connection, config = gevent.getcurrent(), self.app.config
        self._clients[connection] = Client(client, config.client_timeout, config.largest_body())
        try:
            super().handle(listener, self._clients[connection], addr)
        finally:
            del self._clients[connection]

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answer a request. If its body cannot be read, it is the connection's last one, and the answer says so."""
        self._clients[gevent.getcurrent()].expect_body()
        closes = req.should_close
        req.should_close = lambda: req.body.failed or closes()
        super().handle_request(listener_name, req, sock, addr)

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Around the wait for a connection's next request."""
        connection = gevent.getcurrent()
        self._clients[connection].expect_request(self.cfg.keepalive if self.alive else _PATIENCE)
        self._waiting[connection] = None
        try:
            yield
        finally:
            self._waiting.pop(connection, None)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: finish what runs, but do not wait for who might ask something one day."""
        super().handle_exit(sig, frame)
        gevent.spawn(gevent.killall, list(self._waiting))

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what never became a request; gunicorn then closes the connection."""
        from gateway import errors  # not before gevent has patched the standard library

        if isinstance(exc, gevent.GreenletExit):  # killed by `handle_exit` or `handle`
            return
        error: InferqError
        name = {"request_id": f"req_{uuid4().hex}"}
        if isinstance(exc, TooSlow):
            error = RequestTooSlow(f"The request was not received in time: {exc}.")
        elif isinstance(exc, ParseException):
            self.log.warning("refused: %s", exc, extra=name)
            error = InvalidRequest(f"The request is not valid HTTP: {exc}.")
        else:
            self.log.error("connection", exc_info=exc, extra=name)
            error = InferqError("The gateway failed on this connection; its log says why.")
        body, number, headers = errors.answer(error)
        blob = json.dumps(body).encode()
        headers = {"x-request-id": name["request_id"], "Connection": "close", **headers}
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(blob))}
        lines = [f"HTTP/1.1 {number} {HTTPStatus(number).phrase}", *(f"{name}: {headers[name]}" for name in headers)]
        with suppress(OSError):
            write_nonblock(client, "\r\n".join([*lines, "", ""]).encode() + blob)
