"""Long records cost a gateway little, however many read them and however slowly; and each gets exactly all of it."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from shared import streams
from shared.codec import encode
from shared.protocol import Accepted, Completion, Delta, Done, Event, Failed, Sampling, Usage
from shared.ticket import Answer
from shared.tickets import Tickets
from tests.calls import data, job, problem, spoken
from tests.stack import Stack, children, running, stop, wait_for
from tests.transitions import LEASE, append, claim

MB = 1_000_000
WORDS = [f"{index:07} " for index in range(30_000)]
TEXT = "".join(WORDS)
HEAD = Accepted(Completion("m", ("",), Sampling(seed=7)), created=1, format="openai.completion")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway, and no worker but the test."""
    with running(tmp_path_factory.mktemp("slow"), max_followers=34, lease=LEASE / 1000) as stack:
        stack.start_gateway()
        yield stack


def begin(stack: Stack, job_id: str, prompt: str = "once", keep: int = 600) -> Tickets:
    """A job that runs."""
    tickets = Tickets(stack.redis)
    accepted = replace(HEAD, task=Completion("m", (prompt,), Sampling(seed=7)))
    tickets.submit(job_id, accepted, reply="", max_queue=10, wait=60, keep=keep)
    found = claim(tickets, "", f"x-{job_id}")
    assert found
    assert found.job_id == job_id
    stack.redis.hset(f"iq:job:{job_id}", "head", encode([HEAD]))
    return tickets


def write(tickets: Tickets, job_id: str, first: int, *events: Event) -> None:
    assert append(tickets, job_id, f"x-{job_id}", first, *events)[0] in (Answer.OK, Answer.CANCELLED)


def fill(tickets: Tickets, job_id: str) -> None:
    """A long answer, in entries as a worker makes them."""
    events: list[Event] = [Delta(word, (7, 8), offset=8 * index) for index, word in enumerate(WORDS)]
    events += [Delta(offset=len(TEXT), finish_reason="stop"), Done(Usage(1, len(events)))]
    for at in range(0, len(events), 250):
        write(tickets, job_id, at + 1, *events[at : at + 250])


@pytest.fixture(scope="module")
def long(stack: Stack) -> str:
    """A job that has ended, whose record takes about 2 MB."""
    fill(begin(stack, "long"), "long")
    size: Any = stack.redis.memory_usage("iq:events:long", samples=0)
    assert size > 1.9 * MB
    return "long"


def connect(stack: Stack, job_id: str) -> socket.socket:
    """A follower that has read nothing yet, and has the system hold little for it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    sock.settimeout(60)
    sock.connect((stack.host, stack.port))
    sock.sendall(f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return sock


def body(sock: socket.socket) -> str:
    """The rest of a chunked answer of which the status line may have been read."""
    raw = b""
    with sock, sock.makefile("rb") as file:
        file.readline()
        while file.readline() != b"\r\n":
            pass
        while size := int(file.readline(), 16):
            raw += file.read(size)
            file.readline()
    return raw.decode()


def said(text: str) -> str:
    return spoken(data(line for line in text.splitlines() if not line.startswith("id: ")))


class Memory:
    """How much a gateway holds at most, beyond what it held at its start; in bytes.

    It is started anew, for memory that was free already would not be seen to grow.
    """

    def __init__(self, stack: Stack) -> None:
        stop(stack.gateway)
        stack.start_gateway()
        with closing(connect(stack, "none")) as sock:
            assert sock.recv(100)
        [self._pid] = children(stack.gateway)
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")
        self._before = self._peak()

    def grown(self) -> int:
        return self._peak() - self._before

    def _peak(self) -> int:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{self._pid}/status").read_text())
        assert found
        return int(found[1]) * 1024


def sent(stack: Stack) -> int:
    """Bytes that Redis has answered so far."""
    told: Any = stack.redis.info("stats")
    return int(told["total_net_output_bytes"])


def calls(stack: Stack, *commands: str) -> int:
    told: Any = stack.redis.info("commandstats")
    return sum(told.get(f"cmdstat_{command}", {"calls": 0})["calls"] for command in commands)


def test_ten_that_follow_and_hardly_read_cost_little_and_get_it_all(stack: Stack, long: str) -> None:
    memory, before = Memory(stack), sent(stack)
    with ExitStack() as connections:
        slow = [connections.enter_context(connect(stack, long)) for _ in range(10)]
        wait_for(lambda: sent(stack) - before > 10 * 100_000, "the reading of the beginning")
        assert said(body(slow[0])) == TEXT
        assert memory.grown() < 20 * MB


def test_a_slow_reader_of_a_running_job_gets_what_was_passed_over(stack: Stack) -> None:
    tickets = begin(stack, "running")
    memory = Memory(stack)
    with ExitStack() as connections:
        slow = [connections.enter_context(connect(stack, "running")) for _ in range(8)]
        assert all(b"200" in sock.recv(12) for sock in slow)
        fill(tickets, "running")
        assert memory.grown() < 12 * MB
        assert said(body(slow[0])) == TEXT


def test_a_poll_of_what_has_ended_holds_the_result_and_not_the_record(stack: Stack, long: str) -> None:
    memory, http = Memory(stack), stack.http()
    answer = http.get(f"/v1/jobs/{long}")
    assert memory.grown() < 5 * MB
    [choice] = answer.json()["result"]["choices"]
    assert choice["text"] == TEXT
    assert answer.headers["content-type"] == "application/json"


def test_neither_a_poll_nor_a_follower_reads_the_prompt(stack: Stack) -> None:
    tickets, http = begin(stack, "prompted", "p" * MB), stack.http()
    write(tickets, "prompted", 1, Delta("one"))
    before = sent(stack)
    for _ in range(10):
        assert job(http, "prompted")["status"] == "in_progress"
        with http.stream("GET", "/v1/jobs/prompted/events") as answer:
            next(answer.iter_lines())
    assert sent(stack) - before < 200_000


def test_a_cancellation_waits_for_the_end_and_asks_nobody_meanwhile(stack: Stack) -> None:
    tickets, http = begin(stack, "cancelled"), stack.http()
    commands = ("hgetall", "hmget", "hget")
    before = calls(stack, *commands)
    time.sleep(2)
    usual = calls(stack, *commands) - before
    with ThreadPoolExecutor(1) as pool:
        before = calls(stack, *commands)
        answer = pool.submit(http.delete, "/v1/jobs/cancelled")
        wait_for(lambda: stack.redis.hget("iq:job:cancelled", "cancel") == b"1", "the word")
        time.sleep(2)
        asked = calls(stack, *commands) - before
        assert not answer.done()
        write(tickets, "cancelled", 1, Failed("cancelled", "It was."))
        assert answer.result(20).json()["status"] == "cancelled"
    assert asked < 3 * usual + 60


def test_a_cancellation_whose_end_nobody_told_finds_it(stack: Stack) -> None:
    tickets, http = begin(stack, "untold"), stack.http()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(http.delete, "/v1/jobs/untold")
        wait_for(lambda: stack.redis.hget("iq:job:untold", "cancel") == b"1", "the word")
        stack.redis.hset("iq:job:untold", "reply", "")
        write(tickets, "untold", 1, Delta("one"), Failed("cancelled", "It was."))
        assert answer.result(20).json()["error"]["code"] == "cancelled"


def test_a_record_that_is_gone_is_told_of(stack: Stack) -> None:
    """Memory was short, and the answer among the oldest."""
    tickets = begin(stack, "gone")
    write(tickets, "gone", 1, Delta("one", finish_reason="stop"), Done(Usage(1, 1)))
    stack.redis.delete("iq:events:gone")
    text = body(connect(stack, "gone"))
    assert json.loads(text.rpartition("data: ")[2])["error"]["code"] == "worker_lost"


def test_who_reads_on_after_the_retention_is_told(stack: Stack) -> None:
    """And nobody computes the job once more for him."""
    fill(begin(stack, "brief", keep=3), "brief")
    with connect(stack, "brief") as sock:
        assert sock.recv(12)
        wait_for(lambda: stack.state("brief") == "", "the end of its retention")
        read = list(data(line for line in body(sock).splitlines() if not line.startswith("id: ")))
    assert read[-1]["error"]["code"] == "worker_lost"
    text = spoken(read[:-1])
    assert TEXT.startswith(text)
    assert 0 < len(text) < len(TEXT)
    assert stack.state("brief") == ""


def test_so_many_may_follow_a_job_and_the_jobs_of_a_key(stack: Stack) -> None:
    begin(stack, "popular")
    begin(stack, "other")
    http = stack.http()
    with ExitStack() as connections:
        popular = [connections.enter_context(connect(stack, "popular")) for _ in range(32)]
        assert all(b" 200 " in sock.recv(100) for sock in popular)
        refused = problem(http.get("/v1/jobs/popular/events"), 429)
        assert (refused["code"], "the job" in refused["message"]) == ("too_many_followers", True)
        others = [connections.enter_context(connect(stack, "other")) for _ in range(2)]
        assert all(b" 200 " in sock.recv(100) for sock in others)
        refused = problem(http.get("/v1/jobs/other/events"), 429)
        assert (refused["code"], "key" in refused["message"]) == ("too_many_followers", True)
        popular[0].close()

        def admitted() -> bool:
            with http.stream("GET", "/v1/jobs/popular/events") as answer:
                return answer.status_code == 200

        wait_for(admitted, "the place of one that left")


def test_a_record_of_large_entries_is_fetched_in_pages(stack: Stack) -> None:
    for number in range(1, 201):
        blob = encode([Delta("x" * 100_000, offset=100_000 * (number - 1))])
        stack.redis.xadd("iq:events:large", {"f": number, "x": "e", "e": blob}, id=f"{number}-0")
    before = sent(stack)
    found = streams.entries(stack.redis, "large")
    next(found)
    assert sent(stack) - before < MB
    for _ in range(50):
        next(found)
    assert sent(stack) - before < 7 * MB
    assert sum(1 for _ in found) == 149
