"""The clients of `make chaos` come again where they may, and say how the promise was broken where it was.

The gateway that they ask here is played, answer by answer: what it is to have done wrong, a real one does not do.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from tests.calls import CHATS
from tests.chaos.clients import Client
from tests.chaos.judgement import Fate
from tests.chaos.plan import Kind, Request
from tests.chaos.wire import Wire

WORDS = ["7.0;", " 7.1;", " 7.2;", " 7.3;"]
ASKED = Request(7, Kind.FOLLOW, CHATS, {}, "".join(WORDS), "key", None)
NEVER: tuple[tuple[float, float], ...] = ()
JUST_NOW = ((0.0, math.inf),)


def answer(status: int, body: str, *headers: str) -> str:
    return "\r\n".join([f"HTTP/1.1 {status} x", *headers, f"Content-Length: {len(body)}", "", body])


def error(status: int, code: str, param: str | None = None) -> str:
    return answer(status, json.dumps({"error": {"message": "", "type": "", "param": param, "code": code}}))


def accepted(job: str) -> str:
    return answer(202, json.dumps({"id": job}), f"Location: /v1/jobs/{job}")


def events(job: str, words: Sequence[str], *, end: bool) -> str:
    """Ids are `one-1`, `one-2` and so on for job `one`."""

    def event(number: int, choice: dict[str, Any], **more: Any) -> str:
        return f"id: {job}-{number}\ndata: {json.dumps({'id': job, 'choices': [choice], **more})}\n\n"

    lines = [event(n, {"delta": {"content": word}, "finish_reason": None}) for n, word in enumerate(words, 1)]
    if end:
        usage = {"completion_tokens": len(WORDS)}
        lines += [event(len(words) + 1, {"delta": {}, "finish_reason": "stop"}, usage=usage), "data: [DONE]\n\n"]
    return answer(200, "".join(lines))


def ask(*answers: str, crashes: Sequence[tuple[float, float]] = NEVER) -> tuple[Client, list[str]]:
    """A client that has got these answers, and the heads of its requests."""
    heads: list[str] = []
    left = list(answers)

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        [length] = [int(line.split()[1]) for line in head.splitlines() if line.startswith("Content-Length")]
        await reader.readexactly(length)
        heads.append(head)
        writer.write(left.pop(0).encode())
        writer.close()

    async def run() -> Client:
        async with await asyncio.start_server(play, "127.0.0.1", 0) as server:
            wire = Wire(server.sockets[0].getsockname()[1])
            client = Client(
                request=ASKED, wire=wire, random=Random(1), refusals=[], recoveries=[], crashes=crashes
            )  # fmt: skip
            await client.run()
            return client

    client = asyncio.run(run())
    assert not left
    return client, heads


def test_a_client_reads_on_after_a_cut() -> None:
    client, heads = ask(accepted("one"), events("one", WORDS[:2], end=False), events("one", WORDS[2:], end=True))
    assert client.fate is Fate.ANSWERED
    assert "Last-Event-ID: one-2" in heads[-1]


def test_a_client_whose_last_event_is_unknown_reads_anew() -> None:
    unknown = error(400, "unknown_event", "Last-Event-ID")
    client, heads = ask(accepted("one"), events("one", WORDS[:2], end=False), unknown, events("one", WORDS, end=True))
    assert (client.fate, client.read_anew) == (Fate.ANSWERED, 1)
    assert "Last-Event-ID" not in heads[-1]


def test_what_is_read_anew_has_to_begin_with_what_was_read() -> None:
    unknown = error(400, "unknown_event", "Last-Event-ID")
    wrong = events("one", [WORDS[0], *WORDS[2:]], end=False)
    client, _ = ask(accepted("one"), wrong, unknown, events("one", WORDS, end=True))
    assert client.fate is Fate.GAP


def test_words_that_are_missing_where_a_client_reads_on_are_a_gap() -> None:
    client, _ = ask(accepted("one"), events("one", WORDS[:2], end=False), events("one", WORDS[3:], end=True))
    assert client.fate is Fate.GAP


@pytest.mark.parametrize(("crashes", "fate"), [(JUST_NOW, Fate.ANSWERED), (NEVER, Fate.LOST)])
def test_a_job_may_be_unknown_when_redis_has_forgotten_its_time(
    crashes: Sequence[tuple[float, float]], fate: Fate
) -> None:
    gone = (accepted("one"), error(404, "job_not_found"))
    anew = (accepted("two"), events("two", WORDS, end=True)) if crashes else ()
    client, _ = ask(*gone, *anew, crashes=crashes)
    assert (client.fate, client.forgotten) == (fate, 1 if crashes else 0)


def test_worker_lost_breaks_the_promise() -> None:
    told = 'data: {"error": {"message": "", "code": "worker_lost"}}\n\n'
    client, _ = ask(accepted("one"), answer(200, told))
    assert client.fate is Fate.LOST
