"""A long answer is read, sent and told in slices, so that others have their turn meanwhile; a short one in one."""

from __future__ import annotations

import re
import signal
import socket
import time
from typing import Any

import pytest
from flask import Flask, g

from gateway import answers, sse
from gateway.keys import EVERYBODY
from gateway.mailbox import Mailbox
from gateway.schemas import Frame
from shared import streams
from shared.codec import encode
from shared.protocol import Accepted, Completion, Delta, Done, Sampling, Usage
from tests.calls import COMPLETIONS, completion, post_later, submit
from tests.stack import Stack, wait_for

MANY = 8000
WORDS = "w " * MANY


def record(stack: Stack, job_id: str) -> None:
    """A stream of many entries, each of two events."""
    accepted = encode([Accepted(Completion("m", ("x",), Sampling(seed=1)), created=1)])
    stack.redis.xadd(f"iq:events:{job_id}", {"f": 0, "x": "", "e": accepted}, id="0-1")
    pipe = stack.redis.pipeline(transaction=False)
    for first in range(1, MANY, 2):
        blob = encode([Delta("a", offset=first - 1), Delta("b", offset=first)])
        pipe.xadd(f"iq:events:{job_id}", {"f": first, "x": "e", "e": blob}, id=f"{first + 1}-0")
    pipe.execute()


def test_a_record_is_decoded_with_pauses(empty: Stack) -> None:
    record(empty, "a")
    pauses: list[int] = []
    decoded = 0
    for entry in streams.entries(empty.redis, "a", pause=lambda: pauses.append(1)):
        decoded += len(entry.events)
    assert decoded == MANY
    assert len(pauses) >= MANY // 110
    assert [entry.first for entry in streams.entries(empty.redis, "a", after=MANY - 3)] == [MANY - 3, MANY - 1]


def test_a_stream_of_what_is_there_already_goes_out_in_pieces() -> None:
    box = Mailbox("a", parts=True)
    box.put(1, "x", [Delta("word" * 100, offset=400 * i) for i in range(MANY)])
    box.put(MANY + 1, "x", [Done(Usage(1, MANY))])
    lines = sse.plain_lines(
        lambda event: [Frame(event.text.encode())] if isinstance(event, Delta) else [Frame(b"[DONE]")]
    )
    pieces = list(sse.body(box, (), lines, lambda: None, sse.BLANK, progress=False))
    assert len(pieces) > 30
    assert max(map(len, pieces)) < 70_000
    assert b"".join(pieces).count(b"data: ") == MANY + 1


def test_what_was_held_back_arrives_in_slices(served: Stack) -> None:
    served.start_worker(echo_rate=2000, slots=1)
    job_id = submit(served.http(), COMPLETIONS, completion(WORDS))
    wait_for(lambda: served.events(job_id) > 10, "text")
    served.valkey.send_signal(signal.SIGSTOP)
    time.sleep(1)
    served.valkey.send_signal(signal.SIGCONT)
    wait_for(lambda: served.state(job_id) == "completed", "its end", 60)
    sizes = [len(entry.events) for entry in streams.entries(served.redis, job_id)]
    assert sum(sizes) > MANY
    assert max(sizes) == 256


def test_what_a_job_tells_while_it_runs_is_counted_in_its_ticket(served: Stack) -> None:
    """Its record is not read: it may be gone, and nobody notices."""
    served.start_worker(echo_rate=100, slots=1)
    http = served.http()
    job_id = post_later(http, WORDS)
    wait_for(lambda: served.events(job_id) > 20, "text")
    served.redis.rename(f"iq:events:{job_id}", "away")
    job: dict[str, Any] = http.get(f"/v1/jobs/{job_id}").json()
    served.redis.rename("away", f"iq:events:{job_id}")
    assert (job["status"], job["result"], job["error"]) == ("in_progress", None, None)
    assert job["tokens"] >= 20
    assert http.delete(f"/v1/jobs/{job_id}").json()["status"] == "cancelled"


def test_what_is_all_there_is_made_an_answer_with_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = list[int]()
    monkeypatch.setattr(answers, "give_way", lambda: pauses.append(1))
    events = [Delta("word " * 2000, (1,))] * 1000
    with Flask(__name__).test_request_context():
        g.owner = EVERYBODY
        assert len(list(answers.counted(events))) == 1000
        g.answer.let_go()
    assert 20 < len(pauses) < 1000


def test_a_whole_answer_comes_in_one_piece(stack: Stack) -> None:
    """Its head alone would wake whoever reads it once more. What follows on the connection is a head again."""
    body = b'{"model": "echo", "messages": [{"role": "user", "content": "Hello!"}]}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", stack.port), 30) as connection:
        for request in (
            *[head + b"Content-Length: %d\r\n\r\n" % len(body) + body] * 5,
            b"GET /v1/models/none HTTP/1.1\r\nHost: localhost\r\n\r\n",
        ):
            connection.sendall(request)
            fields, _, content = connection.recv(65_536).partition(b"\r\n\r\n")
            (length,) = re.findall(rb"\r\nContent-Length: (\d+)", fields)
            assert len(content) == int(length) > 0
            connection.sendall(b"HEAD /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(65_536).endswith(b"\r\n\r\n")
