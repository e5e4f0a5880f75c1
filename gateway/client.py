"""A client's connection: what it sends and is sent, and for how long it may keep us waiting."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from gevent.monkey import get_original
from gevent.socket import wait
from gunicorn.http.errors import NoMoreData, ParseException

from gateway.rows import Row
from gateway.slices import TimeSlice
from shared.cancellation import abort

if TYPE_CHECKING:
    from gateway.crowd import Crowd

RATE = 16_384
"""Bytes a second at which a request may arrive, and an answer be read, for as long as it likes."""
MOST_PATIENCE = 4
"""Times its patience that a client may be silent in the middle of a request, however much it has sent before."""
LONGEST_FAREWELL = 2.0
"""Seconds in which what a client still sends is thrown away, so that it can read its last answer."""
LARGEST_FAREWELL = 16_777_216
"""Bytes of it. Closing before they are read resets the connection, and the answer may be lost."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_ABORT = struct.pack("ii", 1, 0)
"""For SO_LINGER: forget at once what could not be sent."""
_POLL = get_original("select", "poll")
_HUNG_UP = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


class TooSlow(ParseException):  # type: ignore[misc]  # gunicorn has no types
    """A request did not arrive in time."""


class Gone(OSError):
    """The client has left, was made to leave, or does not read."""


class Client:
    """A client's socket, as gunicorn sees it, with limits on how long it may wait for the client, and a time slice."""

    def __init__(self, sock: Any, peer: str, patience: float, crowd: Crowd) -> None:
        """`peer` is what its connections are counted by; empty where nobody counts them."""
        self.peer = peer
        self.owner = ""
        """Whose key its last request had."""
        self.slice = TimeSlice(crowd.queue)
        self.received = 0
        """Bytes since the last `expect_request` or `expect_body`."""
        self.expecting = True
        """It has sent no request yet that is not answered."""
        self.held_back = False
        """It sends the body of its request when it is told to, and has not been told yet."""
        self.upgraded: Mapping[str, Any] | None = None
        """The WSGI environment of its request for a WebSocket, once that is granted."""
        self.holds_head = False
        """What it is sent next waits for what follows it: that is a wake-up of whoever reads less."""
        self._head = b""
        self.last_words = b""
        """What it is sent where it is made to leave while it asks for nothing."""
        self._socket = sock
        self._plain = sock._sock
        self._crowd = crowd
        self._row: Row | None = None
        """That of its last request, while it is connected."""
        self._at_work = False
        self._patience = self._credit = patience
        self.expect_request(patience)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def expect_request(self, seconds: float) -> None:
        """The rest of the last request may come, and the head of the next: its first bytes within `seconds`."""
        self.expecting, self.received, self.held_back = True, 0, False
        self._begun, self._due = False, time.monotonic() + seconds

    def expect_body(self, *, held_back: bool) -> None:
        self.expecting, self.received, self.held_back = False, 0, held_back
        self.holds_head, self._head = False, b""
        self._begun, self._due = True, time.monotonic() + self._patience

    def recv(self, size: int) -> bytes:
        """Raises TooSlow, or NoMoreData where no request has begun, and Gone."""
        if self.held_back:
            self.held_back = False
            self._send(_CONTINUE)
        data = self._recv(size)
        if not self._begun:
            self._begun, self._due = True, time.monotonic() + self._patience
        latest = time.monotonic() + MOST_PATIENCE * self._patience
        self._due = max(self._due, min(self._due + len(data) / RATE, latest))
        self.received += len(data)
        self.slice.rest()
        return data

    def _recv(self, size: int) -> bytes:
        while True:
            try:
                data: bytes = self._plain.recv(size)
            except BlockingIOError:
                pass
            except OSError:
                raise Gone from None
            else:
                return data
            try:
                self._wait(self._socket._read_event, self._due - time.monotonic())
            except TimeoutError:
                raise TooSlow if self._begun else NoMoreData from None

    def overhear(self, size: int) -> bytes | None:
        """What it has sent while it is answered, and so keeps nobody waiting: None where there is nothing."""
        try:
            return bytes(self._plain.recv(size))
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def stop_listening(self) -> None:
        """Take it that the client has closed its side."""
        with suppress(OSError):
            self._plain.shutdown(socket.SHUT_RD)

    def sendall(self, data: bytes) -> None:
        """Raises Gone, also for a client that does not read.

        Its patience is spent only while the system takes nothing more for this client, and comes back with each byte
        that it takes. What goes at once goes without asking gevent, whose own takes several times as long over a
        small piece.
        """
        self.step_aside()
        if self.holds_head:
            self.holds_head, self._head = False, data
            return
        if self._head:
            data, self._head = self._head + data, b""
        self._send(data)
        self.slice.rest()

    send = sendall

    def offer(self, data: bytes) -> bool:
        """Send what goes at once. False where something is left, which the next `sendall` sends first."""
        try:
            sent = self._plain.send(data)
        except OSError:  # the next `sendall` learns why
            sent = 0
        self._credit, self._head = min(self._patience, self._credit + sent / RATE), data[sent:]
        return not self._head

    def _send(self, data: bytes) -> None:
        left = memoryview(data)
        while True:
            try:
                sent = self._plain.send(left)
            except BlockingIOError:
                sent = 0
            except OSError:
                raise Gone from None
            self._credit = min(self._patience, self._credit + sent / RATE)
            left = left[sent:]
            if not left:
                return
            if not sent:
                self._wait_to_send()

    def _wait_to_send(self) -> None:
        begin = time.monotonic()
        try:
            self._wait(self._socket._write_event, self._credit)
        except TimeoutError:
            self.cut()
            raise Gone from None
        self._credit -= time.monotonic() - begin

    def _wait(self, watcher: Any, seconds: float) -> None:
        """Raises TimeoutError. Meanwhile it may be cut, so that others find room, and others of its owner work."""
        with self.aside(), self._crowd.kept_waiting(self):
            wait(watcher, timeout=max(0.001, seconds), timeout_exc=TimeoutError)

    def set_to_work(self, row: Row) -> None:
        """Its request's turn comes, in the row of its owner; until `step_aside`."""
        self._row = row
        row.enter()
        self._at_work = True

    def step_aside(self) -> None:
        """Its request waits only, from here on, or is answered: others of its owner have their turn."""
        if self._at_work and self._row:
            self._at_work = False
            self._row.leave()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Step aside for as long as this lasts, and wait for a turn again."""
        if not self._at_work or not self._row:
            yield
            return
        self.step_aside()
        try:
            yield
        finally:
            self.set_to_work(self._row)

    def has_left(self) -> bool:
        """Whether it has closed its connection, or its side of it."""
        return has_hung_up(self._plain.fileno())

    def cut(self) -> None:
        """End the connection, whatever it is at: it is as if the client had left."""
        if self.expecting and self.last_words:
            with suppress(OSError):
                self._plain.send(self.last_words)
        with suppress(OSError):  # it has
            if not self.expecting:
                self._plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
            abort(self._plain)

    def take_leave(self, last: bytes = b"") -> None:
        """Send what can be sent at once, and nothing after it; then throw away what the client is still sending."""
        end, left = time.monotonic() + LONGEST_FAREWELL, LARGEST_FAREWELL
        with suppress(OSError, NoMoreData, TooSlow):
            if last:
                self._plain.send(last)
            self._plain.shutdown(socket.SHUT_WR)
            while left > 0 and time.monotonic() < end:
                self._begun, self._due = False, end
                if not (data := self.recv(65_536)):
                    break
                left -= len(data)

    def close(self) -> None:
        self._socket.close()


def has_hung_up(descriptor: int) -> bool:
    """Whether the other side has closed its end, also where something that it sent before is not read."""
    poll = _POLL()
    poll.register(descriptor, _HUNG_UP)
    return bool(poll.poll(0))
