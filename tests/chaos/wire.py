"""HTTP/1.1 on bare sockets: light enough to leave the machine to what is tested, and easy to cut."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any

SILENCE = 30.0
"""Seconds without a byte after which a stream is given up; comments come every fifteen."""


class Broken(Exception):
    """The connection could not be made, or ended before the answer did."""


class Answer:
    """The head of an answer, and its body as it comes."""

    def __init__(self, reader: asyncio.StreamReader, silence: float) -> None:
        self._reader = reader
        self._silence = silence
        self.heard = time.monotonic()
        """When its last bytes came."""
        self.status = 0
        self.headers: dict[str, str] = {}

    async def read_head(self) -> None:
        status, *lines = (await self._until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        self.status = int(status.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    async def body(self) -> bytes:
        """All of it."""
        return b"".join([piece async for piece in self._pieces()])

    async def json(self) -> Any:
        blob = await self.body()
        return json.loads(blob) if blob else None

    async def events(self) -> AsyncIterator[tuple[str, str]]:
        """(id, data) of the server-sent events; the id is empty where there is none."""
        rest, event_id = b"", ""
        async for piece in self._pieces():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                name, _, value = line.decode().partition(": ")
                if name == "id":
                    event_id = value
                elif name == "data":
                    yield event_id, value
                    event_id = ""

    async def _pieces(self) -> AsyncIterator[bytes]:
        if "content-length" in self.headers:
            yield await self._exactly(int(self.headers["content-length"]))
            return
        if self.status == 204:
            return
        while size := int(await self._until(b"\r\n"), 16):
            yield await self._exactly(size)
            await self._until(b"\r\n")

    async def _until(self, end: bytes) -> bytes:
        async with asyncio.timeout(self._silence):
            got = await self._reader.readuntil(end)
        self.heard = time.monotonic()
        return got.removesuffix(end)

    async def _exactly(self, size: int) -> bytes:
        async with asyncio.timeout(self._silence):
            return await self._reader.readexactly(size)


class Wire:
    """All connections of the clients."""

    def __init__(self, port: int, key: str = "") -> None:
        """`key`: the API key that its requests carry."""
        self._port = port
        self._always = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        self._resumable: dict[asyncio.StreamWriter, str] = {}
        self._cut: set[asyncio.StreamWriter] = set()
        self._open: dict[Answer, str] = {}
        self.broken: list[tuple[float, str]] = []
        """When connections broke that we did not cut, and whose they were."""

    @asynccontextmanager
    async def request(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        whose: str,
        resumable: bool = False,
        silence: float = SILENCE,
        form: bytes | None = None,
    ) -> AsyncIterator[Answer]:
        """One request on a connection of its own, which is closed at the end of the context.

        `resumable`: its client is promised to miss nothing when it is cut. After `silence` seconds without a byte it is
        given up. `form` is a body as forms are sent, with the boundary `b`. Raises Broken.
        """
        blob = form or (b"" if body is None else json.dumps(body).encode())
        sent = {} if form is None else {"Content-Type": "multipart/form-data; boundary=b"}
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Length: {len(blob)}"]
        lines += [f"{name}: {value}" for name, value in {**self._always, **sent, **(headers or {})}.items()]
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError as exc:
            raise Broken(str(exc)) from exc
        if resumable:
            self._resumable[writer] = whose
        answer = Answer(reader, silence)
        self._open[answer] = whose
        try:
            writer.write("\r\n".join([*lines, "", ""]).encode() + blob)
            await answer.read_head()
            yield answer
        except (OSError, EOFError, TimeoutError) as exc:
            if writer not in self._cut:
                self.broken.append((time.monotonic(), whose))
            raise Broken(repr(exc)) from exc
        finally:
            self._open.pop(answer)
            self._resumable.pop(writer, None)
            self._cut.discard(writer)
            writer.transport.abort()

    def open(self) -> set[str]:
        """Whose connections are open."""
        return set(self._open.values())

    def heard_last(self, begin: float, end: float) -> set[str]:
        """Whose open connections brought something between these times, and nothing since."""
        return {whose for answer, whose in self._open.items() if begin <= answer.heard <= end}

    def cut(self, random: Random, most: int) -> list[str]:
        """Cut up to `most` connections; whose they were."""
        writers = list(self._resumable)
        victims = random.sample(writers, min(most, len(writers)))
        cut = [self._resumable.pop(writer) for writer in victims]
        for writer in victims:
            self._cut.add(writer)
            writer.transport.abort()
        return cut
