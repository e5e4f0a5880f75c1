"""Attacks on what stores files: by filling it, by sending slowly, and by forms that are none."""

from __future__ import annotations

import asyncio
import secrets

from tests.attack.attacker import Attacker
from tests.attack.plan import attack

_BOUNDARY = b"b"
_PURPOSE = b"--b\r\nContent-Disposition: form-data; name=purpose\r\n\r\nuser_data\r\n"
_BATCH = _PURPOSE.replace(b"user_data", b"batch")
_FILE = b'--b\r\nContent-Disposition: form-data; name=file; filename="a"\r\n\r\n'
_END = b"\r\n--b--\r\n"
_MB = 1_000_000
LARGE = _PURPOSE + _FILE + secrets.token_bytes(8 * _MB) + _END
"""A form with a file of 8 MB."""


def head(me: Attacker, size: int, path: str = "/v1/files") -> bytes:
    return me.head("POST", path, Content_Type="multipart/form-data; boundary=b", Content_Length=str(size))


async def send(me: Attacker, body: bytes, number: int, *expected: int) -> None:
    """Store the file of a form. Other answers than those expected are holes."""
    reply = await me.ask(head(me, len(body)) + body, number)
    if reply.status not in expected:
        me.hits.holes.append(f"a form of {len(body)} bytes: {reply.status} {reply.body[:200]!r}")


async def send_batch(me: Attacker, content: bytes) -> str:
    """The id of a file of requests."""
    body = _BATCH + _FILE.replace(b'"a"', b'"a.jsonl"') + content + _END
    reply = await me.ask(head(me, len(body)) + body)
    assert reply.status == 200, reply.body[:200]
    return str(reply.json()["id"])


@attack(least=20, stores=True)
async def slow_files(me: Attacker) -> None:
    """Two hundred files, each of which comes a kilobyte a second."""

    async def trickle(number: int) -> None:
        line = await me.connect(number)
        try:
            await line.send(head(me, 4 * _MB) + _PURPOSE + _FILE)
            while True:
                await line.send(b"x" * 1000)
                await asyncio.sleep(1.0)
        finally:
            me.hits.left += 1
            line.leave()

    await me.crowd(200, trickle, pause=0.5)


@attack(least=20, stores=True)
async def hostile_forms(me: Attacker) -> None:
    """Heads and fields without an end, thousands of parts, boundaries everywhere, files that nobody reads."""
    part = b"--b\r\nContent-Disposition: form-data; name=purpose\r\n\r\n\r\n"
    bodies = (
        b"--b\r\nContent-Disposition: form-data; name=" + b"x" * 2 * _MB,
        b"--b\r\nContent-Disposition: form-data;" + b" a=b;" * 400_000,
        b"\r\n--" * 500_000,
        b"\r\n--b" * 400_000,
        part[:-4] + b"x" * 2 * _MB,
        part * 30_000,
        _PURPOSE + _FILE + b"\r\n--" * 500_000,
        _PURPOSE + _FILE + b"x" + _END + b"y" * 2 * _MB,
    )
    await me.crowd(16, lambda number: send(me, bodies[number % len(bodies)], number, 400, 503))


@attack(least=20, stores=True)
async def unread_files(me: Attacker) -> None:
    """A file of 20 MB that two hundred ask for and nobody reads."""
    body = _PURPOSE + _FILE + secrets.token_bytes(20 * _MB) + _END
    file = (await me.ask(head(me, len(body)) + body)).json()["id"]
    await me.crowd(200, lambda number: me.stay_mute(me.head("GET", f"/v1/files/{file}/content"), number))


@attack(least=10, stays=True, stores=True)
async def fill_the_store(me: Attacker) -> None:
    """Files of 8 MB until nothing more of this key is taken, and then on, of one byte too."""
    small = _PURPOSE + _FILE + b"x" + _END
    while 403 not in me.hits.answers:
        await send(me, LARGE, 0, 200, 403)
    await me.crowd(8, lambda number: send(me, small if number % 4 else LARGE, number, 200, 403, 503))
