"""Notice at once that a client has closed its connection."""

from __future__ import annotations

import socket
from collections.abc import Callable

import gevent
from flask import request

from gateway.client import has_hung_up

_PERIOD = 1.0
"""Seconds between two looks at a client that has sent more than its request."""


def watch(callback: Callable[[], None]) -> Callable[[], None]:
    """Call `callback`, in the event loop, when the client of the current request closes its connection.

    Call what it returns to end the watch. Nothing is watched where the server gives no socket.
    """
    sock = request.environ.get("gunicorn.socket")
    if sock is None:
        return lambda: None
    # gevent's own recv would park the callback's greenlet and end the delivery of events for this socket; the plain one
    # beneath it does not wait.
    plain = sock._sock
    loop = gevent.get_hub().loop
    watcher, timer = loop.io(sock.fileno(), 1), loop.timer(_PERIOD, _PERIOD)

    def readable() -> None:
        try:
            gone = plain.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return
        except OSError:
            gone = True
        watcher.stop()  # also when it is a next request, sent early: the loop would turn round it until we read it
        if gone:
            callback()
        else:
            timer.start(look)

    def look() -> None:
        """The end is behind what was sent early, where no `recv` sees it."""
        if has_hung_up(plain.fileno()):
            timer.stop()
            callback()

    watcher.start(readable)

    def stop() -> None:
        for each in (watcher, timer):
            each.stop()
            each.close()

    return stop
