"""An answer that is to be stored is found from when it is accepted, in Redis or in the archive, and told alike."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gevent
import pytest
from msgspec.structs import replace

from gateway.archive.archive import Archive
from gateway.archive.thing import Thing, ThingKind
from gateway.archiver import Archiver
from gateway.mailbox import Mailbox
from gateway.recordings import Recordings
from gateway.records import Records
from shared import unarchived
from shared.config import Config
from shared.errors import ArchiveUnavailable, NotStored
from shared.protocol import Accepted, Chat, Delta, Kept, Message, Options, Sampling, State
from shared.ticket import NOBODY
from shared.tickets import Tickets
from shared.unarchived import Unarchived
from tests.losses import forgetting
from tests.stack import Stack
from tests.transitions import END, append, claim

CHAT = ThingKind.CHAT
GIVEN = ({"role": "user", "content": "Hello"},)
ASKED = {"metadata": {"topic": "greeting"}}
KEPT = Accepted(
    Chat("m", (Message("user", "Hello"),), Sampling(seed=1)),
    created=1,
    owner="alice",
    format="openai.chat",
    options=Options(asked=ASKED, kept=Kept(GIVEN)),
)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive.open(Config(archive=str(tmp_path / "archive")))


@pytest.fixture
def recordings(tickets: Tickets, archive: Archive) -> Recordings:
    return Recordings(tickets.client, archive)


def submit(tickets: Tickets, job_id: str, accepted: Accepted = KEPT, **options: Any) -> None:
    tickets.submit(job_id, accepted, reply="", max_queue=99, wait=60, keep=60, attempt=NOBODY, **options)


def test_an_answer_is_found_while_it_waits_runs_and_has_ended(tickets: Tickets, recordings: Recordings) -> None:
    submit(tickets, "a")
    found = recordings.find(CHAT, "a", "alice")
    assert (found.state, found.given, found.events) == (State.QUEUED, GIVEN, [])
    assert found.accepted == replace(KEPT.head(), options=found.accepted.options)
    assert claim(tickets, "a", "x")
    append(tickets, "a", "x", 1, Delta("hi"))
    assert recordings.find(CHAT, "a", "alice").events == [Delta("hi")]
    append(tickets, "a", "x", 2, Delta(offset=2, finish_reason="stop"), END)
    found = recordings.find(CHAT, "a", "alice")
    assert (found.state, found.events[-1]) == (State.COMPLETED, END)
    assert found.facts == {"model": "m", "created": 1, "status": "completed", **ASKED}
    assert tickets.client.ttl("iq:job:a") == tickets.client.ttl("iq:events:a") == -1  # until it is stored
    for kind, owner in ((CHAT, "bob"), (CHAT, ""), (ThingKind.RESPONSE, "alice")):
        with pytest.raises(NotStored):
            recordings.find(kind, "a", owner)
        with pytest.raises(NotStored):
            recordings.remove(kind, "a", owner)


def test_an_end_that_redis_loses_while_its_record_is_read_was_none(
    tickets: Tickets, recordings: Recordings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was stored as a failure before, although its client may have been told the whole answer."""
    submit(tickets, "a")
    assert claim(tickets, "a", "x")
    pieces = [Delta("ab", offset=2 * n) for n in range(200)]  # of more than one slice
    for n, piece in enumerate(pieces):
        append(tickets, "a", "x", n + 1, piece)
    forget = forgetting(tickets.client)
    append(tickets, "a", "x", len(pieces) + 1, END)
    monkeypatch.setattr("gateway.recordings.give_way", forget)
    found, _ = recordings.read("a")
    assert (found.state, found.events) == (State.IN_PROGRESS, pieces)
    append(tickets, "a", "x", len(pieces) + 1, END)
    assert recordings.find(CHAT, "a", "alice").state is State.COMPLETED


def test_one_whose_place_redis_loses_before_its_leave_is_stored_again(
    tickets: Tickets, valkey: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was nowhere before: its place in the index was forgotten, and it waited no longer."""
    config = Config(
        redis_url=str(valkey.settings["redis_url"]), archive=str(tmp_path / "archive"), archive_index="redis"
    )
    archive = Archive.open(config)
    recordings = Recordings(tickets.client, archive)
    archiver = Archiver(tickets, recordings, archive, lambda what: None)
    submit(tickets, "a", replace(KEPT, created=int(time.time())))
    assert claim(tickets, "a", "x")
    append(tickets, "a", "x", 1, Delta("hi", finish_reason="stop"), END)
    forget, keep = forgetting(tickets.client), archive.keep

    def keep_for_a_moment(*args: Any, **how: Any) -> Thing | None:
        kept = keep(*args, **how)
        forget()
        return kept

    monkeypatch.setattr(archive, "keep", keep_for_a_moment)
    archiver.store("a")
    assert Unarchived(tickets.client).waits("a")
    assert recordings.find(CHAT, "a", "alice").state is State.COMPLETED
    archiver.store("a")
    assert not Unarchived(tickets.client).waits("a")
    assert recordings.stored(CHAT, "a", "alice").events[-1] == END


def test_who_waits_for_an_end_that_redis_loses_meanwhile_waits_on(
    tickets: Tickets, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(tickets, "a")
    assert claim(tickets, "a", "x")
    for n in range(200):
        append(tickets, "a", "x", n + 1, Delta("ab", offset=2 * n))
    forget = forgetting(tickets.client)
    append(tickets, "a", "x", 201, END)
    monkeypatch.setattr("gateway.records.give_way", forget)
    records, box = Records(tickets.client), Mailbox("a")
    box.over = True
    records.fill(box)
    gevent.wait(timeout=10)
    assert (box.ended, box.over) == (False, False)
    append(tickets, "a", "x", 201, END)
    records.fill(box)
    gevent.wait(timeout=10)
    assert box.ended
    assert list(iter(lambda: box.take(0), None))[-1] == END


def test_what_was_not_to_be_stored_is_not_found(tickets: Tickets, recordings: Recordings) -> None:
    submit(tickets, "a", replace(KEPT, options=Options()))
    with pytest.raises(NotStored):
        recordings.find(CHAT, "a", "alice")
    assert not tickets.client.exists("iq:given:a", "iq:unarchived")


def test_a_removed_answer_is_cancelled_and_not_found(tickets: Tickets, recordings: Recordings) -> None:
    submit(tickets, "a")
    recordings.remove(CHAT, "a", "alice")
    assert tickets.get("a").state is State.CANCELLED
    for tell in (recordings.find, recordings.remove):
        with pytest.raises(NotStored):
            tell(CHAT, "a", "alice")


def test_what_waits_to_be_stored_is_bounded(tickets: Tickets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unarchived, "MOST_UNARCHIVED", 2)
    for job_id in "abc":  # those that run do not count
        submit(tickets, job_id)
    for job_id in "ab":
        tickets.cancel(job_id)
    for job_id, most in (("d", None), ("e", 0)):
        with pytest.raises(ArchiveUnavailable):
            submit(tickets, job_id, most_unarchived_bytes=most)
    submit(tickets, "f", replace(KEPT, options=Options()))
    Unarchived(tickets.client).release("a")
    submit(tickets, "d")
    with pytest.raises(ArchiveUnavailable):
        submit(tickets, "e", most_unarchived_bytes=0)


def test_a_short_memory_spares_what_is_not_stored_yet(tickets: Tickets) -> None:
    submit(tickets, "a")
    held: Any = tickets.client.hget("iq:job:a", "bytes")
    assert int(held) > len(str(GIVEN))
    tickets.cancel("a")
    left: Any = tickets.client.hmget("iq:bytes", "alice", "*", "*unarchived")
    assert left[0] is None
    assert 0 < int(left[1]) == int(left[2]) < int(held)
    assert tickets.evict("g", 1 << 40)[0] == 0
    Unarchived(tickets.client).release("a")
    assert not tickets.client.exists("iq:bytes", "iq:given:a")
    assert 0 < tickets.client.ttl("iq:job:a") <= 60
    assert tickets.evict("g", 1 << 40)[0] == 1


def test_each_is_handed_out_to_one_gateway_at_a_time(tickets: Tickets) -> None:
    waiting = Unarchived(tickets.client)
    for job_id in "abc":
        submit(tickets, job_id)
    tickets.cancel("a")
    tickets.cancel("b")
    assert waiting.due(9, 30) == ([], ["c"], 0)  # the gateway that has told of the end comes first
    tickets.client.zadd("iq:unarchived", {"a": 1, "b": 1})
    assert waiting.due(1, 30).ended == ["a"]
    assert waiting.due(9, 30).ended == ["b"]
    assert waiting.due(9, 30).ended == []
    assert waiting.due(9, 1).ended == ["a", "b"]  # as after a jump of the clock


def test_one_that_is_put_back_although_it_is_stored_is_not_computed(tickets: Tickets) -> None:
    submit(tickets, "a", again=True)
    assert not Unarchived(tickets.client).release("a")
    found = tickets.get("a")
    assert (found.state, found.deserted) == (State.CANCELLED, True)
    assert claim(tickets, "a", "x") is None


def test_what_is_stored_beside_its_removal_goes_again(tickets: Tickets, recordings: Recordings) -> None:
    submit(tickets, "a")
    recordings.remove(CHAT, "a", "alice")
    waiting = Unarchived(tickets.client)
    assert waiting.release("a")
    assert tickets.client.zcard("iq:unarchived") == 1  # a gateway that dies now has left it to others
    assert not waiting.release("a", dropped=True)
    assert tickets.client.zcard("iq:unarchived") == 0
    assert 0 < tickets.client.ttl("iq:job:a") <= 60


def test_a_gateway_that_stores_what_was_stored_and_removed_is_told(
    tickets: Tickets, recordings: Recordings, archive: Archive
) -> None:
    """It had read the record before another one stored it, and would bring it back."""
    submit(tickets, "a")
    assert claim(tickets, "a", "x")
    append(tickets, "a", "x", 1, END)
    unarchived = Unarchived(tickets.client)
    archive.keep(Thing("a", CHAT, "alice", 1))
    assert not unarchived.release("a")
    recordings.remove(CHAT, "a", "alice")
    archive.keep(Thing("a", CHAT, "alice", 1))
    assert unarchived.release("a")
    archive.remove("alice", CHAT, "a")
    assert not unarchived.release("a", dropped=True)
    with pytest.raises(NotStored):
        recordings.remove(CHAT, "a", "alice")
