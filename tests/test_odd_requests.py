"""Odd headers, queries and paths, of every route: whatever they say, it is no fault of ours."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from flask import Flask
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway import endpoints
from tests.calls import CHATS, chat, post_later
from tests.stack import Stack, running, wait_for

JOB = "a job that there is"
KEY = "sk-alice-0123456789abcdef"
DIGITS = "9" * 5000
ODD = (
    *("", " ", DIGITS, f"-{DIGITS}", f"0.{DIGITS}", f"1.{DIGITS}-{DIGITS}", f"1e{DIGITS[:99]}", "1e999", "nan", "-inf"),
    *("\xb2", "\xff\xfe", "\xe9", "\x7f", "\x0b", "\x00", "%00", "%", "%ff%fe", "%ud800", "null", "*", "../..", "//"),
    *(",", ";", "=", ";=;,", "q=", "a;q=\xb9", "a/b;c", "*/*;q=nan", '"', '"\\', "W/", "bytes=9-0", "chunked", "[::1"),
    *("text/plain;version=a.b", "application/openmetrics-text;version=a", f"text/plain;version={DIGITS}", "::::", "@:"),
    *(
        "application/json",
        "respond-async",
        "gzip",
        "100-continue",
        "close",
        "websocket",
        "identity",
        "Bearer",
        f"x {KEY}",
    ),
)
HEADERS = (
    *("Accept", "Accept-Charset", "Accept-Encoding", "Authorization", "Connection", "Content-Encoding", "Content-Type"),
    *(
        "Access-Control-Request-Headers",
        "Access-Control-Request-Method",
        "Cookie",
        "Date",
        "Expect",
        "Forwarded",
        "Host",
    ),
    *(
        "Idempotency-Key",
        "If-Match",
        "If-Modified-Since",
        "If-None-Match",
        "Last-Event-ID",
        "Origin",
        "Prefer",
        "Range",
    ),
    *(
        "Referer",
        "Sec-Fetch-Site",
        "Script-Name",
        "SCRIPT_NAME",
        "PATH_INFO",
        "TE",
        "Upgrade",
        "User-Agent",
        "X-Api-Key",
    ),
    *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Forwarded-Proto", "X-Forwarded-Ssl"),
    *("x-request-timeout", "x-stainless-read-timeout", "x-stainless-retry-count", "X-HTTP-Method-Override"),
)


def routes() -> list[str]:
    app = Flask(__name__, static_folder=None)
    endpoints.init_app(app)
    return ["/{}", *sorted({re.sub(r"<[^>]*>", "{}", rule.rule) for rule in app.url_map.iter_rules()})]


words = st.sampled_from(ODD) | st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20)
in_url = words.map(quote) | st.sampled_from(ODD).map(lambda word: re.sub(r"[^!-~]", "", word))
requests = st.tuples(
    st.sampled_from(["GET", "POST", "DELETE"]) | st.sampled_from(["HEAD", "OPTIONS", "PUT", "TRACE"]),
    st.sampled_from(routes()),
    st.just(JOB) | in_url,
    st.dictionaries(st.sampled_from(["prompt", "model", "seed", "%ff", ""]), in_url, max_size=3),
    st.dictionaries(st.sampled_from(HEADERS), words, max_size=4),
)
Odd = tuple[str, str, str, dict[str, str], dict[str, str]]


@dataclass(frozen=True, slots=True)
class Door:
    """A gateway, a key for it, and a job of that key's owner that has ended."""

    stack: Stack
    key: str
    job: str

    @classmethod
    def of(cls, stack: Stack, key: str) -> Door:
        http = stack.http()
        http.headers["Authorization"] = f"Bearer {key}"
        job = post_later(http, "x")
        wait_for(lambda: stack.state(job) == "completed", "the end")
        return cls(stack, key, job)

    def status(self, odd: Odd) -> int:
        method, route, segment, query, headers = odd
        segment = self.job if segment == JOB else segment
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        target = f"{route.replace('{}', segment)}?{asked}"[:8000]
        body = json.dumps(chat("x")).encode() if method == "POST" else b""
        usual = {"Host": "localhost", "Content-Type": "application/json", "Authorization": f"Bearer {self.key}"}
        lines = [f"{name}: {value}" for name, value in (usual | headers).items()]
        head = "\r\n".join([f"{method} {target} HTTP/1.1", *lines, f"Content-Length: {len(body)}", "", ""])
        with socket.create_connection(("127.0.0.1", self.stack.port), timeout=60) as connection:
            connection.sendall(head.encode("latin-1") + body)
            line = connection.makefile("rb").readline()
        assert line.startswith(b"HTTP/1.1 "), line
        return int(line.split()[1])


@pytest.fixture(scope="module")
def doors(echo: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Door]]:
    """One that needs no key, and one that needs one, has CORS, and believes its proxies."""
    more = {"api_keys": f"alice:{KEY}", "cors_origins": "*", "trusted_proxies": "127.0.0.0/8"}
    with running(tmp_path_factory.mktemp("odd"), **more) as stack:
        stack.start_gateway()
        stack.start_worker()
        yield [Door.of(echo, "none"), Door.of(stack, KEY)]


def test_no_request_makes_us_fail(doors: list[Door]) -> None:
    told = Counter[int]()

    @settings(max_examples=400, deadline=None, database=None, derandomize=True)
    @given(odd=requests)
    @example(odd=("GET", "/metrics", "", {}, {"Accept": "application/openmetrics-text;version=a"}))
    @example(odd=("GET", "/metrics", "", {}, {"Accept": "text/plain;version=a.b"}))
    @example(odd=("GET", "/v1/jobs/{}/events", JOB, {}, {"Last-Event-ID": DIGITS}))
    @example(odd=("GET", "/v1/models", "", {}, {"SCRIPT_NAME": "/v2"}))
    @example(odd=("POST", CHATS, "", {}, {"x-request-timeout": DIGITS, "x-stainless-retry-count": DIGITS}))
    def send(odd: Odd) -> None:
        statuses = [door.status(odd) for door in doors]
        told.update(statuses)
        assert 500 not in statuses

    send()
    assert {200, 400, 401, 403, 404, 405} <= told.keys(), told
