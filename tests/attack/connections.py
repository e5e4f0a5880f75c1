"""Attacks with bare connections and heads: most of them need no key."""

from __future__ import annotations

import asyncio

from tests.attack.attacker import Attacker
from tests.attack.plan import attack

_CHUNKS = b"1\r\n \r\n" * 20_000
_BEGIN = b'{"model":"echo","messages":[{"role":"user","content":"Hi"}]}'
_HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"


@attack(least=1)
async def pipelined(me: Attacker) -> None:
    """One connection asks thousands of times in a row without a key: each is refused without ever having to wait."""
    await me.crowd(1, lambda _: _pipeline(me, b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"))


@attack(least=1)
async def pipelined_with_key(me: Attacker) -> None:
    """The same with a key, from a few connections: each is answered out of memory."""
    await me.crowd(4, lambda _: _pipeline(me, me.head("GET", "/v1/models")))


async def _pipeline(me: Attacker, request: bytes) -> None:
    line = await me.connect()
    try:
        reading = asyncio.create_task(_count(me, line.reader))
        try:
            while True:
                await line.send(request * 500)
        finally:
            reading.cancel()
    finally:
        line.leave()


async def _count(me: Attacker, reader: asyncio.StreamReader) -> None:
    while piece := await reader.read(65_536):
        me.hits.answers[0] += piece.count(b"HTTP/1.1 ")


@attack(least=1)
async def chunks_of_the_refused(me: Attacker) -> None:
    """A body of one-byte chunks, sent on after the 401: it is read to its end, millions of bytes without a wait."""
    begin = _HEAD + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    await me.crowd(2, lambda _: _endless(me, begin, _CHUNKS))


@attack(least=1)
async def chunks(me: Attacker) -> None:
    """A body of one-byte chunks with a key: each byte that counts costs six and a turn of the parser."""
    begin = me.head("POST", "/v1/chat/completions", Content_Type="application/json", Transfer_Encoding="chunked")
    begin += b"%x\r\n%b\r\n" % (len(_BEGIN), _BEGIN)
    await me.crowd(8, lambda number: _endless(me, begin, _CHUNKS, number))


@attack(least=1)
async def extensions_of_chunks(me: Attacker) -> None:
    """Chunks with long extensions and a trailer without end: bytes that no bound of the body counts."""
    begin = me.head("POST", "/v1/chat/completions", Content_Type="application/json", Transfer_Encoding="chunked")
    await me.crowd(4, lambda number: _endless(me, begin, (b"1;" + b"x" * 8000 + b"\r\n \r\n") * 50, number))


@attack(least=1)
async def trailers(me: Attacker) -> None:
    """A body that has ended, and then headers behind it, one after the other."""
    begin = me.head("POST", "/v1/chat/completions", Content_Type="application/json", Transfer_Encoding="chunked")
    begin += b"%x\r\n%b\r\n0\r\n" % (len(_BEGIN), _BEGIN)
    await me.crowd(4, lambda number: _endless(me, begin, b"X: y\r\n" * 10_000, number))


async def _endless(me: Attacker, begin: bytes, piece: bytes, peer: int = 0) -> None:
    """Send a request whose body does not end."""
    line = await me.connect(peer)
    try:
        await line.send(begin)
        answered = asyncio.create_task(line.head())
        try:
            while True:
                await line.send(piece)
        finally:
            answered.cancel()
    finally:
        line.leave()


@attack(least=100)
async def slow_heads(me: Attacker) -> None:
    """Two thousand connections whose head comes a byte at a time."""
    await me.crowd(2000, lambda number: _trickle(me, b"GET /v1/models HTTP/1.1\r\nX: ", b"y", number % 20))


@attack(least=100)
async def slow_bodies(me: Attacker) -> None:
    """A thousand with bodies, whose length is allowed."""
    begin = me.head("POST", "/v1/chat/completions", Content_Type="application/json", Content_Length="100000")
    await me.crowd(1000, lambda number: _trickle(me, begin, b" ", number % 20), rate=200)


async def _trickle(me: Attacker, begin: bytes, piece: bytes, peer: int) -> None:
    line = await me.connect(peer)
    try:
        await line.send(begin)
        me.hits.left += 1  # it will
        while not line.reader.at_eof():
            await line.send(piece)
            await asyncio.sleep(0.5)
        me.hits.left -= 1
        raise ConnectionError("cut off")
    finally:
        line.leave()


@attack(least=1000)
async def idle_connections(me: Attacker) -> None:
    """Nine thousand connections of one peer that say nothing, and come again when they are ended."""
    await me.crowd(9000, lambda _: _idle(me), rate=4000)


async def _idle(me: Attacker) -> None:
    line = await me.connect()
    try:
        me.hits.left += 1
        await line.reader.read(1)
        raise ConnectionError("cut off")
    finally:
        line.leave()


@attack(least=500)
async def short_connections(me: Attacker) -> None:
    """Connections of one peer that are made and ended, as fast as it goes."""
    await me.crowd(50, lambda _: me.leave_at(b"GET / HT", 0))
