"""An answer that is to be stored is found from when it is accepted, in Redis or in the archive, and told alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.archive.archive import Archive
from gateway.archive.thing import ThingKind
from gateway.recordings import Recordings
from shared.config import Config
from shared.errors import NotStored
from shared.protocol import Accepted, Chat, Delta, Kept, Message, Options, Sampling, State
from shared.ticket import NOBODY
from shared.tickets import Tickets
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


def submit(tickets: Tickets, job_id: str, accepted: Accepted = KEPT, *, again: bool = False) -> None:
    tickets.submit(job_id, accepted, reply="", max_queue=99, wait=60, keep=60, attempt=NOBODY, again=again)


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
