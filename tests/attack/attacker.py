"""An attacker: its connections, and what the server made of them. It lives in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.wire import Answer

PATIENCE = 120.0
"""Seconds without a byte after which it gives an answer up."""

LONGEST = 10
"""An attack goes on for at most so many times its seconds until it has hit enough."""
_LARGE = 4_100_000
"""Bytes, just below what any body may have."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is attacked, and for how long."""

    port: int
    key: str
    """The attacker's own; empty where nobody needs one."""
    model: str
    slow: str
    """A model that computes so slowly that its jobs wait; empty where there is none."""
    seconds: float
    force: float = 1.0
    """The part of all clients that come, 1 for a full attack."""
    least: int = 0
    """How often it has to hit: on a slow machine the attack goes on until it has."""


@dataclass(slots=True)
class Hits:
    """What an attacker got the server to do."""

    sent: int = 0
    """Bytes that the server's machine took."""
    answers: Counter[int] = field(default_factory=Counter)
    """By status."""
    unread: int = 0
    """Answers that began, and that nobody reads."""
    left: int = 0
    """Requests that were sent whole, and whose client went away."""
    cut: int = 0
    """Connections that the server ended, or would not have."""
    holes: list[str] = field(default_factory=list)
    """What it got that it should not have."""

    @property
    def count(self) -> int:
        """How often the server did something about it."""
        return self.answers.total() + self.unread + self.left + self.cut

    def told(self) -> str:
        """In a few words."""
        words = [f"{count}x{status}" for status, count in sorted(self.answers.items())]
        counts = {"unread": self.unread, "left": self.left, "cut": self.cut}
        words += [f"{count} {name}" for name, count in counts.items() if count]
        return f"{self.sent / 1e6:.1f} MB: " + (", ".join(words) or "nothing")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that was read whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Line:
    """A connection of an attacker, which may read or not."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hits: Hits) -> None:
        self.reader = reader
        self._writer = writer
        self._hits = hits

    async def send(self, blob: bytes) -> None:
        """Raises OSError when the server has ended the connection."""
        self._writer.write(blob)
        await self._writer.drain()
        self._hits.sent += len(blob)

    async def head(self) -> Answer:
        """The head of the next answer. Raises OSError, EOFError."""
        answer = Answer(self.reader, PATIENCE)
        await answer.read_head()
        self._hits.answers[answer.status] += 1
        return answer

    async def reply(self) -> Reply:
        """The next answer, whole. Raises OSError, EOFError."""
        answer = await self.head()
        body = await answer.body()
        return Reply(answer.status, answer.headers, body)

    def leave(self) -> None:
        """At once, whatever is on its way."""
        self._writer.transport.abort()


class Attacker:
    """All clients of one attack. Each `peer` is an address of its own."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.hits = Hits()
        self._mute: list[socket.socket] = []

    def scaled(self, most: int) -> int:
        """How many clients come, of as many as this."""
        return max(1, int(most * self.target.force))

    async def connect(self, peer: int = 0) -> Line:
        """Raises OSError."""
        local = (address(peer), 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target.port, local_addr=local, limit=2**22)
        return Line(reader, writer, self.hits)

    def post(self, path: str, body: Any, **headers: str) -> bytes:
        """A request with the key."""
        blob = body if isinstance(body, bytes) else json.dumps(body).encode()
        length = {"Content-Type": "application/json", "Content-Length": str(len(blob))}
        return self.head("POST", path, **length, **headers) + blob

    def head(self, method: str, path: str, **headers: str) -> bytes:
        """The head of a request with the key; `x_name` is the header `x-name`."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
        lines += [f"Authorization: Bearer {self.target.key}"] if self.target.key else []
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode()

    async def ask(self, request: bytes, peer: int = 0) -> Reply:
        """One request on a connection of its own. Raises OSError, EOFError."""
        line = await self.connect(peer)
        try:
            await line.send(request)
            return await line.reply()
        finally:
            line.leave()

    async def leave_at(self, request: bytes, seconds: float, peer: int = 0) -> None:
        """Ask, and go away after so long. Raises OSError."""
        line = await self.connect(peer)
        try:
            await line.send(request)
            await asyncio.sleep(seconds)
            self.hits.left += 1
        finally:
            line.leave()

    async def stay_mute(self, request: bytes, peer: int = 0) -> None:
        """Ask over and over on one connection, and never read."""
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            sock.bind((address(peer), 0))
            await loop.sock_connect(sock, ("127.0.0.1", self.target.port))
            await loop.sock_sendall(sock, request)
            self.hits.sent += len(request)
            while not _begun(sock):
                await asyncio.sleep(0.1)
            self.hits.unread += 1
            while _begun(sock):
                await asyncio.sleep(0.5)
        finally:
            sock.close()

    async def crowd(
        self, most: int, client: Callable[[int], Awaitable[object]], *, pause: float = 0.0, rate: float = 1000.0
    ) -> None:
        """So many clients, each of whom comes again as soon as it is through or cut off, and a `pause` later.

        They come at a `rate` a second: more requests than a machine can read keep each other waiting, and are no trick.
        """
        async with asyncio.TaskGroup() as group:
            for number in range(self.scaled(most)):
                group.create_task(self._come_again(client, number, pause))
                if number % 20 == 19:
                    await asyncio.sleep(20 / rate)

    async def _come_again(self, client: Callable[[int], Awaitable[object]], number: int, pause: float) -> None:
        while True:
            try:
                await client(number)
            except (OSError, EOFError, TimeoutError):
                self.hits.cut += 1
                await asyncio.sleep(0.05)
            await asyncio.sleep(pause)

    async def submit(self, text: str, model: str = "", **more: Any) -> str:
        """The id of a chat's job that is to be polled for; empty where it is refused. Raises OSError, EOFError."""
        body = {"model": model or self.target.model, "messages": [{"role": "user", "content": text}], **more}
        reply = await self.ask(self.post("/v1/chat/completions", body, Prefer="respond-async"))
        return str(reply.json()["id"]) if reply.status == 202 else ""

    async def largest(self, make: Callable[[int], bytes]) -> int:
        """The most bytes, of 4 MB and its halves, of a body that is not refused for its size. Raises OSError, EOFError.

        `make` makes one of so many.
        """
        size = _LARGE
        while (await self.ask(self.post("/v1/completions", make(size)))).status == 413:
            size //= 2
        return size

    async def wide(self) -> str:
        """A text as long as it may be, of as many words as its echo has room for. Raises OSError, EOFError."""
        size = await self.largest(lambda size: b"." * size)
        return ("w" * (size // 16_000 - 2) + " ") * 16_000

    async def record(self, text: str, **more: Any) -> str:
        """The id of a completed chat: whoever polls for it asks for all of its record. Raises OSError, EOFError."""
        while not (job := await self.submit(text, **more)):
            await asyncio.sleep(0.2)
        while (await self.ask(self.head("GET", f"/v1/jobs/{job}"))).json()["status"] in ("queued", "in_progress"):
            await asyncio.sleep(0.2)
        return job


SAME = -1
"""The peer that has the victim's address."""


def address(peer: int) -> str:
    """On the loopback network."""
    return "127.0.0.1" if peer == SAME else f"127.0.{1 + peer // 250}.{1 + peer % 250}"


def _begun(sock: socket.socket) -> bool:
    """Whether an answer lies there, or not yet. Raises OSError when the server has ended the connection."""
    try:
        if sock.recv(1, socket.MSG_PEEK):
            return True
    except BlockingIOError:
        return False
    raise ConnectionError("closed")


def run(attack: Callable[[Attacker], Awaitable[None]], target: Target) -> Hits:
    """Attack to the end; what came of it. To be called in a process of its own, which stands back behind the server's.

    An attacker in the world has other cores.
    """
    os.nice(5)
    return asyncio.run(_run(attack, target))


async def _run(attack: Callable[[Attacker], Awaitable[None]], target: Target) -> Hits:
    me = Attacker(target)
    attacking = asyncio.ensure_future(attack(me))
    end = time.monotonic() + LONGEST * target.seconds
    await asyncio.wait([attacking], timeout=target.seconds)
    while not attacking.done() and me.hits.count < target.least and time.monotonic() < end:
        await asyncio.wait([attacking], timeout=0.1)
    attacking.cancel()
    with suppress(asyncio.CancelledError):
        await attacking
    return me.hits


def chat(model: str, text: str, **more: Any) -> Mapping[str, Any]:
    """The body of a chat."""
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}
