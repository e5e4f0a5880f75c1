"""Attacks by those who have no key, or say that they are somebody else."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

from tests.attack.attacker import SAME, Attacker, Reply
from tests.attack.plan import Scene, attack


@attack(least=500)
async def wrong_keys(me: Attacker) -> None:
    """Thousands of guessed keys, of one peer."""

    async def guess(number: int) -> None:
        key = secrets.token_hex(24)
        await me.ask(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %b\r\n\r\n" % key.encode())

    await me.crowd(50, guess)


@attack(least=200)
async def readyz(me: Attacker) -> None:
    """The one page that asks Redis and needs no key, by a hundred at once."""
    await me.crowd(100, lambda number: me.ask(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n", number))


@attack(least=100)
async def descriptions(me: Attacker) -> None:
    """The description of the API, whole and as a page, without a key: many ask for it, and most never read it."""
    asked = [
        b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path for path in (b"/openapi.json", b"/docs", b"/v1/docs/")
    ]

    async def once(number: int) -> object:
        request = asked[number % 3]
        return await (me.stay_mute(request, number) if number % 4 else me.ask(request, number))

    await me.crowd(200, once)


@attack(least=20)
async def unserved(me: Attacker) -> None:
    """Bodies of 60 MB, and those that never end, to endpoints that there are not, with paths as long as they may be."""
    paths = (
        "/v1/images/generations",
        "/v1/audio/" + "x/" * 3000,
        "/v1/moderations/%0d%0aX-Y:%20z",
        "/v1/" + "chat-" * 1500,
    )

    async def once(number: int) -> None:
        line = await me.connect(number)
        try:
            length = {"Content_Length": str(60_000_000)} if number % 2 else {"Transfer_Encoding": "chunked"}
            piece = b"x" * 0x8000 if number % 2 else b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
            await line.send(me.head("POST", paths[number % len(paths)], Content_Type="application/json", **length))
            answer = asyncio.ensure_future(line.reply())
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # who is over asks no more
            with suppress(OSError):  # it need not read all of it
                while not answer.done():
                    await line.send(piece)
                    await asyncio.sleep(0)
            reply = await answer
            if reply.status not in (404, 429, 501) or b"\n" in reply.body.strip():
                _hole(me, f"{reply.status} {reply.body[:200]!r}")
        finally:
            line.leave()

    await me.crowd(20, once)


@attack(least=50)
async def metrics(me: Attacker) -> None:
    """All numbers of all processes and models, by fifty at once."""
    await me.crowd(50, lambda number: me.ask(me.head("GET", "/metrics"), number))


@attack(least=100)
async def bad_http(me: Attacker) -> None:
    """Thousands of requests that are none, with the key in them, which must not reach the log."""
    key = me.target.key.encode()
    bad = (
        b"GET /v1/models?%b HTTP/9.9\r\n\r\n" % key,
        b"GET /v1/models HTTP/1.1\r\nAuthorization Bearer %b\r\n\r\n" % key,
        b"GET /v1/models HTTP/1.1\r\nX-%b: y\x00\r\n\r\n" % key,
        b"%b /v1/models HTTP/1.1\r\n\r\n" % key,
        b"POST / HTTP/1.1\r\nContent-Length: %b\r\n\r\n" % key,
        b"POST / HTTP/1.1\r\nTransfer-Encoding: %b\r\n\r\n" % key,
        b"GET /%b\r\n\r\n" % key,
    )
    await me.crowd(50, lambda number: me.ask(bad[number % len(bad)], number % 20))


@attack(least=5)
async def odd_requests(me: Attacker) -> None:
    """Requests that no client makes, and that the gateway must answer with a word and not with a failure of its own."""
    job = await me.record("one two three")
    mine = {"Content_Type": "application/json"}

    async def unmoved(what: str, request: bytes) -> None:
        reply = await me.ask(request)
        if reply.status >= 500 and reply.status != 501:
            _hole(me, f"{what}: a {reply.status}")

    events = f"/v1/jobs/{job}/events"
    for mark in ("1" * 5000, "9" * 15, "1." + "1" * 5000, "0-" + "x" * 64, "\xff", "1-" + "_" * 64):
        await unmoved(f"Last-Event-ID {mark[:9]!r}", me.head("GET", events, Last_Event_ID=mark))
    for accept in (
        "*",
        ";",
        "application/openmetrics-text; version=",
        'text/plain; version="\xff"',
        ",=,;q=",
        "a/b;q=x",
    ):
        await unmoved(f"Accept {accept!r} on /metrics", me.head("GET", "/metrics", Accept=accept))
    for coding in ("gzip, chunked", "chunked, gzip, chunked", "identity"):
        request = me.head("POST", "/v1/completions", **mine, Transfer_Encoding=coding) + b"0\r\n\r\n"
        await unmoved(f"Transfer-Encoding {coding!r}", request)
    for retry in ("\u0663", "-1", "9" * 9000, "nan"):
        blob = b'{"model":"echo","prompt":"Hi"}'
        head = me.head("POST", "/v1/completions", **mine, Content_Length="30").decode()[:-2]
        for name in ("x-stainless-retry-count", "x-stainless-read-timeout", "x-request-timeout", "Prefer"):
            if len(retry) < 8000 or name == "Prefer":
                await unmoved(f"{name} {retry[:9]!r}", f"{head}{name}: {retry[:8000]}\r\n\r\n".encode() + blob)
    for path in ("/v1/jobs/%00", "/v1/jobs/" + "x" * 7000, "/v1/models/%ff%fe", "//", "/%2e%2e/", "/v1/jobs/*"):
        await unmoved(f"the path {path[:20]!r}", me.head("GET", path))
    for path, line, status in (
        ("/x/v1/models", "SCRIPT_NAME: /x", 404),
        ("/v1/models", "SCRIPT_NAME: /y", 200),
        ("/v1/models", "PATH_INFO: /healthz", 200),
        ("/v1/models", "X-Forwarded-Protocol: http\r\nX-Forwarded-Ssl: on", 200),
        ("/v1/models", "X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off", 200),
    ):
        head = me.head("GET", path).decode()[:-2] + f"{line}\r\n\r\n"
        _same(me, repr(line), await me.ask(head.encode(), SAME), status)


@attack(least=5, scene=Scene.OPEN)
async def foreign_pages(me: Attacker) -> None:
    """Pages of other sites, without keys: a name that leads here, and forms and scripts that send simple requests."""
    blob = b'{"model":"echo","messages":[{"role":"user","content":"Hi"}]}'

    async def refused(what: str, *lines: str, method: str = "GET", path: str = "/v1/models") -> None:
        body = blob if method == "POST" else b""
        head = [f"{method} {path} HTTP/1.1", *lines, f"Content-Length: {len(body)}", "", ""]
        reply = await me.ask("\r\n".join(head).encode() + body)
        if not 400 <= reply.status < 500:
            _hole(me, f"{what} {method} {path}: a {reply.status}")

    here = f"Host: 127.0.0.1:{me.target.port}"
    for host in ("evil.example", f"evil.example:{me.target.port}", "localhost.evil.example", "127.0.0.1.evil.example"):
        await refused(f"Host {host}", f"Host: {host}")
        await refused(f"Host {host}", f"Host: {host}", path="/api/chat?prompt=Hi")
    for line in ("Origin: https://evil.example", "Referer: https://evil.example/", "Origin: null"):
        await refused(line, here, line, path="/api/chat?prompt=Hi")
    for site in ("cross-site", "same-site"):
        await refused(site, here, f"Sec-Fetch-Site: {site}", path="/api/chat?prompt=Hi")
    form = "Content-Type: text/plain"
    await refused("a form", here, "Origin: https://evil.example", form, method="POST", path="/v1/chat/completions")
    _same(me, "localhost", await me.ask(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"), 200)
    _same(me, "127.0.0.1", await me.ask(f"GET /v1/models HTTP/1.1\r\n{here}\r\n\r\n".encode()), 200)


def _same(me: Attacker, what: str, reply: Reply, status: int) -> None:
    if reply.status != status:
        _hole(me, f"{what}: a {reply.status}")


def _hole(me: Attacker, what: str) -> None:
    if what not in me.hits.holes:
        me.hits.holes.append(what)
