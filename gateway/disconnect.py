"""Notice at once that a client has closed its connection."""

from __future__ import annotations

import socket
from collections.abc import Callable

import gevent
from flask import request


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
    watcher = gevent.get_hub().loop.io(sock.fileno(), 1)

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

    watcher.start(readable)

    def stop() -> None:
        watcher.stop()
        watcher.close()

    return stop
