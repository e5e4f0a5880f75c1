"""gunicorn's gevent process, corrected where it meets clients without asking the application."""

from __future__ import annotations

import json
import socket
from functools import cached_property
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import gevent
from gevent.server import StreamServer
from gunicorn.http.errors import InvalidResponseHeader, InvalidResponseHeaderName, NoMoreData, ParseException
from gunicorn.workers.base_async import AsyncWorker
from gunicorn.workers.ggevent import GeventWorker

from gateway.client import Client, Gone, TooSlow
from gateway.crowd import Crowd
from gateway.incoming import Incoming, Parser, words
from gateway.slices import RunQueue
from shared.errors import InferqError, InvalidRequest, RequestTooSlow

LARGEST_BUFFER = 131_072
"""Bytes, either way, that the system keeps for one connection; Linux takes as many again for itself."""
_PATIENCE = 1.0
"""Seconds that a new connection has to send its request while the process ends."""
_FAULTS = (InvalidResponseHeader, InvalidResponseHeaderName)
"""What gunicorn takes for errors of parsing, and are ours."""


class Connections(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves connections fairly, refuses what is not HTTP in JSON instead of HTML, and waits for nobody at its end."""

    @cached_property
    def _crowd(self) -> Crowd:
        return Crowd(self.worker_connections, self.app.config, RunQueue())

    def run(self) -> None:
        for listener in self.sockets:  # which connections have it from
            for direction in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                listener.setsockopt(socket.SOL_SOCKET, direction, LARGEST_BUFFER)
        # A flood of connections waits before the door: gevent would take a hundred between two looks at those inside,
        # and gunicorn asks it not to only where there are several processes.
        StreamServer.max_accept = 1
        super().run()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection to its end."""
        if addr and addr[0] == "::1" and len(self.sockets) > 1:
            addr = ("127.0.0.1", addr[1])  # one machine, whichever of its loopbacks: so proxies on it have one address
        peer = self._crowd.peer(addr[0] if addr else "")
        client = Client(client, peer, self.app.config.client_timeout, self._crowd)
        try:
            self._crowd.enter(client)
            self._serve(listener.getsockname(), client, addr)
        except Exception as exc:  # noqa: BLE001 - it is answered and logged
            self.handle_error(None, client, addr, exc)
        finally:
            self._crowd.leave(client)
            client.close()

    def _serve(self, listener_name: Any, client: Client, addr: Any) -> None:
        requests, request = Parser(self.cfg, client, addr), None
        try:
            while True:
                client.expect_request(self.cfg.keepalive if self.alive else _PATIENCE)
                request = next(requests)
                client.slice.ask()
                client.expect_body(held_back=request.held_back)
                # Not gevent's, which would go on after it was killed.
                try:
                    AsyncWorker.handle_request(self, listener_name, request, client, addr)
                finally:
                    client.step_aside()
                    request.release()
                if client.upgraded:
                    self._serve_socket(client, requests.unreader.take_buffered())
                    return
        except StopIteration:
            if request is not None and request.is_unread():
                client.take_leave()
        except (NoMoreData, Gone, gevent.GreenletExit):
            pass

    def _serve_socket(self, client: Client, early: bytes) -> None:
        from gateway import socket_turns  # as below

        socket_turns.serve(self.wsgi, client, early, lambda: bool(self.alive))

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: finish what runs, but do not wait for who might ask something one day."""
        super().handle_exit(sig, frame)
        gevent.spawn(self._crowd.dismiss)

    def handle_error(self, req: Incoming | None, client: Client, addr: Any, exc: BaseException) -> None:
        """Answer what never became a request, and close the connection."""
        from gateway import errors  # not before gevent has patched the standard library

        error: InferqError
        name = {"request_id": f"req_{uuid4().hex}"}
        if isinstance(exc, InferqError):
            error = exc
        elif isinstance(exc, TooSlow):
            error = RequestTooSlow(f"The request was not received in time: {words(exc)}.")
        elif isinstance(exc, ParseException) and not isinstance(exc, _FAULTS):
            self.log.warning("refused: %s", words(exc), extra=name)
            error = InvalidRequest(f"The request is not valid HTTP: {words(exc)}.")
        else:
            self.log.error("connection", exc_info=exc, extra=name)
            error = InferqError("The gateway failed on this connection; its log says why.")
        body, number, headers = errors.answer(error)
        blob = json.dumps(body).encode()
        headers = {"x-request-id": name["request_id"], "Connection": "close", **headers}
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(blob))}
        lines = [f"HTTP/1.1 {number} {HTTPStatus(number).phrase}", *(f"{name}: {headers[name]}" for name in headers)]
        client.take_leave("\r\n".join([*lines, "", ""]).encode() + blob)
