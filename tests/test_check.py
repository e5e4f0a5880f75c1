"""`inferq check`: it is silent about a Redis that is at work, and names whatever does not balance."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.archive.archive import Archive
from shared.audit import audit
from shared.config import Config
from shared.ticket import Attempt
from shared.tickets import Tickets
from tests.archives import answer
from tests.calls import CHATS, chat, post_later
from tests.commands import inferq
from tests.stack import Stack, free_port, wait_for
from tests.transitions import END, append, claim, dequeue, start, submit


@pytest.fixture
def tickets(valkey: Stack) -> Tickets:
    """Three jobs: `waits`, `runs` and `done`."""
    valkey.redis.flushall()
    tickets = Tickets(valkey.redis)
    start(tickets, "done", "e1")
    append(tickets, "done", "e1", 1, END)
    start(tickets, "runs", "e2")
    submit(tickets, "waits")
    return tickets


def problems(tickets: Tickets) -> list[str]:
    return [f"{finding.subject}: {finding.problem}" for finding in audit(tickets.client, pause=0.01).findings]


def check(*options: str, **environ: str) -> tuple[int, str, str]:
    done = inferq("check", *options, **environ)
    return done.returncode, done.stdout, done.stderr


def test_every_state_a_job_can_be_in_balances(tickets: Tickets) -> None:
    submit(tickets, "later", attempt=Attempt("print", waits=True))
    tickets.leave("later", "later", "", Attempt("print", waits=True), linger=60)  # lingers
    submit(tickets, "keyed", attempt=Attempt("print", idempotency="key"))
    submit(tickets, "gone")
    tickets.cancel("gone")
    tickets.cancel("runs")
    assert problems(tickets) == []
    dequeue(tickets)  # lies between the queue and its claim
    assert problems(tickets) == []
    dequeue(tickets)
    claimed = claim(tickets, "later", "e3")
    assert claimed
    tickets.release("m", [(claimed.job_id, "e3")])
    assert problems(tickets) == []


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (("DEL", "iq:waiting:m"), "waits: queued, and 0 times in the queue"),
        (("SREM", "iq:owned:o", "waits"), "waits: queued, and not one of its owner"),
        (("SADD", "iq:owned:o", "done"), "done: neither waits nor runs, and is listed in iq:owned:o"),
        (("SADD", "iq:owned:p", "nobody"), "nobody: neither waits nor runs, and is listed in iq:owned:p"),
        (("DEL", "iq:task:waits"), "waits: queued, and nothing tells what to compute"),
        (("SET", "iq:task:done", 1), "done: completed, and its task is there"),
        (("ZREM", "iq:deadlines:m", "waits"), "waits: queued, and 0 times in the deadlines"),
        (("ZADD", "iq:leases:m", 1, "waits"), "waits: queued, and 1 times in the leases"),
        (("ZADD", "iq:waiting:m", 0, "2:o:000000000002:runs"), "runs: in_progress, and 1 times in the queue"),
        (("ZADD", "iq:waiting:m", 0, "2:o:1:runs"), "runs: does not know its place 2:o:1:runs in the queue"),
        (("ZREM", "iq:leases:m", "runs"), "runs: in_progress, and 0 times in the leases"),
        (("ZADD", "rq:wip:m", 1e300, "runs:e0"), "runs: in_progress, and 2 times in the work in progress"),
        (("HSET", "iq:job:runs", "exec", "e9"), "runs: in_progress, but not its execution"),
        (("EXPIRE", "iq:job:runs", 100), "runs: in_progress, and iq:job:runs ends in 100 s"),
        (("HSET", "iq:job:done", "seq", 3), "done: its ticket knows 3 events, its stream ends with 1-0"),
        (("DEL", "rq:job:runs"), "runs: in_progress, and rq:job:runs is missing"),
        (("PERSIST", "iq:events:done"), "done: completed, and iq:events:done never ends"),
        (("PERSIST", "iq:job:done"), "done: completed, and iq:job:done never ends"),
        (("ZADD", "iq:lingering:m", 1, "done"), "done: completed, and lingers"),
        (("DEL", "iq:task:runs"), "runs: in_progress, and nothing tells what to compute"),
        (("HINCRBY", "iq:bytes", "o", 100), "iq:bytes: +100 bytes are counted for o"),
        (("HINCRBY", "iq:bytes", "*", -7), "iq:bytes: -7 bytes are counted for all"),
        (("HDEL", "iq:job:waits", "bytes"), "iq:bytes: +6296 bytes are counted for o"),
        (("ZADD", "iq:retained", 1, "waits"), "waits: queued, and is to make room"),
        (("DEL", "iq:job:done"), "done: has a stream without a ticket"),
        (("HSET", "rq:job:done", "a", 1), "done: completed, and rq:job:done is there"),
        (("HSET", "rq:job:nobody", "a", 1), "nobody: without a ticket, and rq:job:nobody is there"),
        (("ZADD", "iq:waiting:m", 0, "2:o:1:nobody"), "nobody: does not know its place 2:o:1:nobody in the queue"),
        (("SET", "iq:card:workers:w", "{}"), "iq:card:workers:w: has neither an owner nor a time to live"),
        (("HSET", "iq:counts:other", "a", 1), "iq:counts:other: has neither an owner nor a time to live"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(map(str, value)),
)
def test_what_does_not_balance_is_named(tickets: Tickets, damage: tuple[str | int, ...], finding: str) -> None:
    tickets.client.eval("return redis.call(unpack(ARGV))", 0, *map(str, damage))
    assert finding in problems(tickets)


def test_foreign_keys_are_left_alone(tickets: Tickets) -> None:
    tickets.client.set("celery", 1)
    assert problems(tickets) == []


def test_the_command(tickets: Tickets, valkey: Stack, tmp_path: Path) -> None:
    environ = {"INFERQ_REDIS_URL": str(valkey.settings["redis_url"]), "INFERQ_ARCHIVE": str(tmp_path / "archive")}
    code, output, errors = check(**environ)
    assert (code, errors) == (0, "")
    silent = r"3 jobs, \d\d keys: everything balances\n0 things, 0 bytes are stored: everything balances\n"
    assert re.fullmatch(silent, output), output  # more keys where ten seconds begin anew meanwhile
    assert not (tmp_path / "archive").exists()
    tickets.client.zadd("iq:waiting:m", {"2:o:1:nobody\x1b[H": 0})
    (tmp_path / "redis.url").write_text(environ["INFERQ_REDIS_URL"])
    code, output, _ = check("--data-dir", str(tmp_path))
    assert code == 1
    assert output.splitlines()[0] == "nobody [H: does not know its place 2:o:1:nobody [H in the queue"
    code, output, _ = check("--json", **environ)
    assert code == 1
    assert [finding["subject"] for finding in json.loads(output)["findings"]] == ["nobody\x1b[H"]


def test_what_is_stored_is_checked_too(tickets: Tickets, valkey: Stack, tmp_path: Path) -> None:
    environ = {"INFERQ_REDIS_URL": str(valkey.settings["redis_url"]), "INFERQ_ARCHIVE": str(tmp_path)}
    archive = Archive.open(Config(archive=str(tmp_path)))
    kept = [archive.keep(answer(number), [bytes(1000)]) for number in range(2)]
    assert check(**environ)[0] == 0
    assert kept[0]
    path = tmp_path / "blobs" / kept[0].blob
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert check(**environ)[1].splitlines()[-1] == "2 things, 2004 bytes are stored: everything balances"
    code, output, _ = check("--contents", "--json", **environ)
    found = json.loads(output)["archive"]
    assert (code, [finding["subject"] for finding in found["findings"]]) == (1, [answer(0).id])
    path.unlink()
    code, output, _ = check(**environ)
    assert (code, output.splitlines()[-1]) == (1, "2 things, 2004 bytes are stored: 1 findings")
    archive.index.close()  # with its log, which has all of it
    (tmp_path / "index.db").write_text("no index at all")
    code, output, _ = check(**environ)
    assert code == 1
    assert "index.db" in output


def test_without_a_redis_it_says_so() -> None:
    code, output, complaint = check(INFERQ_REDIS_URL=f"redis://:secret@127.0.0.1:{free_port()}/0")
    assert (code, output) == (1, "")
    assert "does not answer" in complaint
    assert "secret" not in complaint


def test_it_is_silent_while_jobs_move(empty: Stack) -> None:
    empty.start_gateway()
    empty.start_worker(slots=8, echo_rate=400)
    wait_for(lambda: empty.redis.exists("iq:sweep:echo"), "the first sweep")
    assert audit(empty.redis).findings == []  # nobody has asked for the model yet
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(empty.http().post, CHATS, json=chat("one two three")) for _ in range(4)]
        later = [post_later(empty.http(), f"{i} one two three") for i in range(100)]
        end = time.monotonic() + 2
        while time.monotonic() < end:
            assert audit(empty.redis, pause=0.2).findings == []
        assert all(answer.result().status_code == 200 for answer in asked)
    wait_for(lambda: {empty.state(job) for job in later} == {"completed"}, "the end of all", 60)
    assert audit(empty.redis).findings == []
