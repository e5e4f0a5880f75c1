"""A WebSocket: messages of text over a client's connection, once its request has asked for that.

The protocol is wsproto's. Nothing is compressed: what a client sends takes the memory that it has sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import gevent
from gevent.lock import BoundedSemaphore
from gunicorn.http.errors import NoMoreData
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

from gateway.bodies import Receiving
from gateway.client import Client, Gone
from shared.errors import GatewayBusy

LARGEST_FRAMING = 65_536
"""Bytes of frames around a message, and of pings since the last one, beyond as many as those of the message."""

_PIECE = 65_536
_GOING_AWAY = b"\x88\x02\x03\xe9"
"""A frame that closes the socket, with the code 1001."""


class WebSocket:
    """One, from its handshake on."""

    def __init__(self, client: Client, owner: str, largest: int, early: bytes) -> None:
        """`owner` is whose messages these are, each of `largest` bytes at most; `early` was sent with the handshake."""
        self._client = client
        self._largest = largest
        self._frames = Connection(ConnectionType.SERVER, trailing_data=early)
        self._sending = BoundedSemaphore()
        self._message = Receiving(owner)
        """What there is of the next one."""
        self._whole = False
        self._raw = 0
        """Bytes since the last message."""
        self._replies = list[bytes]()
        """Frames that are to be sent."""
        client.last_words = _GOING_AWAY

    @property
    def open(self) -> bool:
        return self._frames.state is ConnectionState.OPEN

    def receive(self, seconds: float) -> bytes | None:
        """The next message; None where none came in time, or the socket is closed.

        It has so many seconds until it begins, and then a client's patience. Raises Gone, TooSlow.
        """
        self._take_in()
        self._client.expect_request(seconds)
        while self.open and not self._whole:
            self.flush()
            try:
                data = self._client.recv(_PIECE)
            except NoMoreData:
                return None
            if not data:
                raise Gone
            if self._feed(data) and not self._message.size:
                self._client.expect_request(seconds)  # a ping is no beginning
        self._client.expect_body(held_back=False)
        if not self.open:
            return None
        self._whole, self._raw = False, 0
        message = self._message.join()
        self._message.let_go()  # whoever reads it counts it
        return message

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within, the client is being answered: its pings are too, and it is noticed that it closes the socket."""
        watcher = gevent.get_hub().loop.io(self._client.fileno(), 1)
        self._take_in()
        if self.open and not self._whole:
            watcher.start(self._overhear, watcher)
        try:
            yield
        finally:
            watcher.stop()
            watcher.close()

    def send(self, message: str) -> None:
        """Raises Gone, also for a client that does not read."""
        self.flush()
        with self._sending:
            try:
                self._client.sendall(self._frames.send(TextMessage(message)))
            except LocalProtocolError as exc:  # it is closed
                raise Gone from exc

    def close(self, reason: CloseReason, words: str = "") -> None:
        """Say that this is the end, with the next `flush`."""
        self._reply(CloseConnection(reason, words))

    def flush(self) -> None:
        """Send what is to be said beside messages. Raises Gone."""
        while self._replies:
            with self._sending:  # a frame is sent whole
                replies = b"".join(self._replies)
                self._replies.clear()
                self._client.sendall(replies)

    def finish(self) -> None:
        """Hold nothing of a message any more, and part."""
        self._message.let_go()
        with suppress(Gone):
            self.flush()
            self._client.take_leave()

    def _overhear(self, watcher: Any) -> None:
        """In the event loop, where nothing may wait."""
        data = self._client.overhear(_PIECE)
        if data:
            self._feed(data)
        if data == b"" or self._whole or not self.open:
            watcher.stop()
        if self._replies:
            gevent.spawn(self._answer_overheard)

    def _answer_overheard(self) -> None:
        with suppress(Gone):
            self.flush()
        if not self.open:
            self._client.stop_listening()  # as if it had left, which it has

    def _feed(self, data: bytes) -> bool:
        """Whether there was a frame, or a part of its text, in what was received."""
        self._raw += len(data)
        self._frames.receive_data(data)
        found = self._take_in()
        if self.open and not self._whole and self._raw > 2 * self._message.size + LARGEST_FRAMING:
            self.close(CloseReason.POLICY_VIOLATION, "too many frames for what they hold")
        return found

    def _take_in(self) -> bool:
        """Look at the frames that are there, up to the end of a message."""
        found = False
        while self.open and not self._whole and (event := next(self._frames.events(), None)):
            found = True
            self._take(event)
        return found

    def _take(self, event: Event) -> None:
        match event:
            case TextMessage(data=text):
                self._add(text.encode())
                self._whole = bool(event.message_finished and event.frame_finished)
            case Ping():
                self._reply(event.response())
            case CloseConnection():  # also for what breaks the protocol
                self._reply(event.response())
            case BytesMessage():
                self.close(CloseReason.UNSUPPORTED_DATA, "messages are text")

    def _add(self, data: bytes) -> None:
        if self._message.size + len(data) > self._largest:
            self.close(CloseReason.MESSAGE_TOO_BIG, f"a message has at most {self._largest} bytes")
            return
        try:
            self._message.add(data)
        except GatewayBusy as exc:
            self.close(CloseReason.TRY_AGAIN_LATER, exc.message[:100])

    def _reply(self, event: Event) -> None:
        with suppress(LocalProtocolError):  # it is closed already
            self._replies.append(self._frames.send(event))
