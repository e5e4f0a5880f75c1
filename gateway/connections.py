"""gunicorn's gevent process, corrected where it meets clients without asking the application."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import gevent
from gunicorn.http.errors import ParseException
from gunicorn.util import write_nonblock
from gunicorn.workers.ggevent import GeventWorker

from shared.errors import InferqError, InvalidRequest

_PATIENCE = 1.0
"""Seconds that a new connection has to send its request while the process ends."""


class Connections(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """Refuses what is not HTTP in JSON instead of HTML, and waits for no idle connection when it ends."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: set[gevent.Greenlet] = set()

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Around the wait for a connection's next request."""
        waiting = gevent.getcurrent()
        self._idle.add(waiting)
        try:
            with gevent.Timeout(self.cfg.keepalive if self.alive else _PATIENCE, False):
                yield
        finally:
            self._idle.discard(waiting)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: finish what runs, but do not wait for who might ask something one day."""
        super().handle_exit(sig, frame)
        gevent.spawn(gevent.killall, list(self._idle))

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer what never became a request; gunicorn then closes the connection."""
        from gateway import errors  # not before gevent has patched the standard library

        if isinstance(exc, gevent.GreenletExit):  # killed by `handle_exit`
            return
        if isinstance(exc, ParseException):
            self.log.warning("refused: %s", exc)
            error: InferqError = InvalidRequest(f"The request is not valid HTTP: {exc}.")
        else:
            self.log.error("connection", exc_info=exc)
            error = InferqError("The gateway failed on this connection; its log says why.")
        body, number, headers = errors.answer(error)
        blob = json.dumps(body).encode()
        headers = {"x-request-id": f"req_{uuid4().hex}", "Connection": "close", **headers}
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(blob))}
        lines = [f"HTTP/1.1 {number} {HTTPStatus(number).phrase}", *(f"{name}: {headers[name]}" for name in headers)]
        with suppress(OSError):
            write_nonblock(client, "\r\n".join([*lines, "", ""]).encode() + blob)
