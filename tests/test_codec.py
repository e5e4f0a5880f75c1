"""What another version has written: fields, events and states that this one does not know are passed over."""

from __future__ import annotations

import json

import pytest
from redis import Redis

from shared import streams
from shared.codec import decode, decode_accepted, encode
from shared.errors import NotUnderstood
from shared.protocol import Accepted, Chat, Delta, Done, Event, Message, Sampling, State, Usage
from shared.tickets import Tickets
from tests.stack import Stack

ACCEPTED = Accepted(Chat("m", (Message("user", "hello"),), Sampling(7)), created=1, owner="me")
EVENTS: list[Event] = [Delta("a", (1,)), Delta("b", (2,), finish_reason="stop", usage=Usage(1, 2)), Done(Usage(1, 2))]
UNKNOWN = {"type": "Unheard", "of": [1, {"type": "Delta"}], "at": None}


@pytest.fixture(scope="module")
def client(valkey: Stack) -> Redis:
    return valkey.redis


def grown(blob: str) -> str:
    """The same with an unknown field in every object."""

    def grow(value: object) -> object:
        if isinstance(value, list):
            return [grow(each) for each in value]
        return {"newer": UNKNOWN, **{k: grow(v) for k, v in value.items()}} if isinstance(value, dict) else value

    return json.dumps(grow(json.loads(blob)))


def test_unknown_fields_are_passed_over() -> None:
    assert decode_accepted(grown(encode([ACCEPTED]))) == ACCEPTED
    assert decode(grown(encode(EVENTS))) == EVENTS


@pytest.mark.parametrize("unknown", [UNKNOWN, {"type": ["Delta"]}, {"no": "type"}, "Delta", 5, None, [1]])
def test_an_unknown_event_keeps_its_number(unknown: object) -> None:
    first, *rest = json.loads(encode(EVENTS))
    assert decode(json.dumps([first, unknown, *rest])) == [EVENTS[0], None, *EVENTS[1:]]


def test_an_event_is_unknown_whose_parts_are() -> None:
    blob = encode(EVENTS).replace('"usage":{"type":"Usage"', '"usage":{"type":"Bill"')
    assert decode(blob) == [EVENTS[0], None, None]


@pytest.mark.parametrize(
    ("known", "other"),
    [
        ('"type":"Accepted"', '"type":"Granted"'),
        ('"type":"Chat"', '"type":"Talk"'),
        ('"type":"Chat"', '"type":"Usage"'),
        ('"type":"Message"', '"type":"Picture"'),
        ('"content":"hello"', '"text":"hello"'),
        ('"seed":7', '"seeds":[7]'),
        ("[{", "{"),
        ("}]", "},{}]"),
    ],
)
def test_a_task_of_another_version_is_not_understood(known: str, other: str) -> None:
    blob = encode([ACCEPTED])
    assert known in blob
    with pytest.raises(NotUnderstood):
        decode_accepted(blob.replace(known, other))


def test_an_entry_that_names_no_execution_is_read(client: Redis) -> None:
    client.xadd("iq:events:old", {"e": encode(EVENTS[:2]), "newer": "1", "f": 1}, id="2-0")
    [entry] = streams.entries(client, "old")
    assert (entry.first, entry.last, entry.by, entry.events) == (1, 2, "", EVENTS[:2])
    assert streams.writer(client, "old", 2) == ""


def test_a_state_of_another_version(client: Redis) -> None:
    ticket: dict[str, str | int] = {"state": "paused", "model": "m", "owner": "", "seq": 0, "created": 1, "newer": "1"}
    client.hset("iq:job:x", mapping=ticket)  # type: ignore[arg-type]
    tickets = Tickets(client)
    assert not tickets.get("x").state.final
    assert tickets.cancel("x") is State.IN_PROGRESS
    client.hset("iq:job:x", "ended", 2)
    assert tickets.get("x").state is State.FAILED
