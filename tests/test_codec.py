"""What another version has written: fields, events and states that this one does not know are passed over."""

from __future__ import annotations

import json

import pytest
from redis import Redis

from shared import streams
from shared.codec import decode, decode_accepted, encode
from shared.errors import NotUnderstood
from shared.protocol import (
    Accepted,
    Chat,
    Completion,
    Delta,
    Done,
    Event,
    Failed,
    Message,
    Progress,
    Sampling,
    StartOver,
    State,
    Timings,
    Usage,
)
from shared.tickets import Tickets
from tests.stack import Stack

ACCEPTED = Accepted(Chat("m", (Message("user", "hello"),), Sampling(7)), created=1, owner="me")
EVENTS: list[Event] = [Delta("a", (1,)), Delta("b", (2,), finish_reason="stop", usage=Usage(1, 2)), Done(Usage(1, 2))]
BEFORE: list[tuple[str, Accepted]] = [
    (
        '[{"type":"Accepted","task":{"type":"Chat","model":"m","messages":[{"type":"Message","role":"system","content":'
        '"be “kind”"},{"type":"Message","role":"user","content":"hi\\n"},{"type":"Message","role":"assistant",'
        '"content":""}],"sampling":{"type":"Sampling","seed":7,"max_tokens":16,"temperature":0,"top_p":0.5,"top_k":40,"min_p":'
        '0.05,"typical_p":1.0,"repeat_penalty":1.1,"presence_penalty":-2,"frequency_penalty":2.0,"stop":["\\n","é"],'
        '"ignore_eos":true,"logit_bias":[[5,-100],[7,0.5]]},"n":2,"continue_final":true,"token_ids":true},'
        '"created":1790000000,"owner":"me","request_id":"req_1"}]',
        Accepted(
            Chat(
                "m",
                (Message("system", "be “kind”"), Message("user", "hi\n"), Message("assistant", "")),
                Sampling(
                    7, 16, 0, 0.5, 40, 0.05, 1.0, 1.1, -2, 2.0, ("\n", "é"), True, logit_bias=((5, -100), (7, 0.5))
                ),
                2,
                continue_final=True,
                token_ids=True,
            ),
            1790000000,
            "me",
            "req_1",
        ),
    ),
    (
        '[{"type":"Accepted","task":{"type":"Completion","model":"m","prompt":["a",[1,2],[]],"sampling":{"type":'
        '"Sampling","seed":7},"n":3,"best_of":4,"token_ids":true},"created":1}]',
        Accepted(Completion("m", ("a", (1, 2), ()), Sampling(7), 3, 4, token_ids=True), 1),
    ),
]
"""As release 0.1.0 writes them: it reads what is written so."""
EVENTS_BEFORE = (
    '[{"type":"Progress","done":3,"total":17},{"type":"Delta","text":"é","tokens":[-1,9],"index":1,'
    '"prompt_tokens":[1,2],"offset":4},{"type":"Delta","finish_reason":"length","usage":{"type":"Usage",'
    '"prompt_tokens":3,"completion_tokens":4,"cached_tokens":2}},{"type":"StartOver"},{"type":"Done","usage":{"type":'
    '"Usage","prompt_tokens":3,"completion_tokens":4},"timings":{"type":"Timings","prompt_ms":1,"completion_ms":2.5}},'
    '{"type":"Failed","code":"engine_error","message":"\\"no\\"","param":"prompt"},'
    '{"type":"Failed","code":"cancelled","message":""}]'
)
EVENTS_SINCE: list[Event] = [
    Progress(3, 17),
    Delta("é", (-1, 9), 1, prompt_tokens=(1, 2), offset=4),
    Delta(finish_reason="length", usage=Usage(3, 4, 2)),
    StartOver(),
    Done(Usage(3, 4), Timings(1, 2.5)),
    Failed("engine_error", '"no"', "prompt"),
    Failed("cancelled", ""),
]
UNKNOWN = {"type": "Unheard", "of": [1, {"type": "Delta"}], "at": None}


@pytest.fixture(scope="module")
def client(valkey: Stack) -> Redis:
    return valkey.redis


def grown(blob: bytes) -> str:
    """The same with an unknown field in every object."""

    def grow(value: object) -> object:
        if isinstance(value, list):
            return [grow(each) for each in value]
        return {"newer": UNKNOWN, **{k: grow(v) for k, v in value.items()}} if isinstance(value, dict) else value

    return json.dumps(grow(json.loads(blob)))


@pytest.mark.parametrize(("blob", "accepted"), BEFORE, ids=["chat", "completion"])
def test_a_task_on_the_wire_of_the_first_release(blob: str, accepted: Accepted) -> None:
    assert decode_accepted(blob.encode()) == accepted
    assert json.loads(encode([accepted])) == json.loads(blob)


def test_events_on_the_wire_of_the_first_release() -> None:
    assert decode(EVENTS_BEFORE.encode()) == EVENTS_SINCE
    assert json.loads(encode(EVENTS_SINCE)) == json.loads(EVENTS_BEFORE)


def test_unknown_fields_are_passed_over() -> None:
    assert decode_accepted(grown(encode([ACCEPTED]))) == ACCEPTED
    assert decode(grown(encode(EVENTS))) == EVENTS


@pytest.mark.parametrize("unknown", [UNKNOWN, {"type": ["Delta"]}, {"no": "type"}, "Delta", 5, None, [1]])
def test_an_unknown_event_keeps_its_number(unknown: object) -> None:
    first, *rest = json.loads(encode(EVENTS))
    assert decode(json.dumps([first, unknown, *rest])) == [EVENTS[0], None, *EVENTS[1:]]


def test_an_event_is_unknown_whose_parts_are() -> None:
    blob = encode(EVENTS).replace(b'"usage":{"type":"Usage"', b'"usage":{"type":"Bill"')
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
        ('"role":"user"', '"role":"narrator"'),
        ("[{", "{"),
        ("}]", "},{}]"),
    ],
)
def test_a_task_of_another_version_is_not_understood(known: str, other: str) -> None:
    blob = encode([ACCEPTED]).decode()
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
    client.hset("iq:job:x", mapping=ticket)  # type: ignore[arg-type]  # redis-py's mapping is invariant
    tickets = Tickets(client)
    assert not tickets.get("x").state.final
    assert tickets.cancel("x") is State.IN_PROGRESS
    client.hset("iq:job:x", "ended", 2)
    assert tickets.get("x").state is State.FAILED
