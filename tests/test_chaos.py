"""The tools of `make chaos` do what its verdicts rest on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.calls import CHATS
from tests.chaos.failures import Failure, Gap
from tests.chaos.faults import Fault
from tests.chaos.forms import Form, draw
from tests.chaos.judgement import Fate, judge
from tests.chaos.machines import Machine, Machines, Offered
from tests.chaos.marks import Marks
from tests.chaos.plan import Kind, Request
from tests.chaos.reading import Reading
from tests.chaos.relay import Relay
from tests.chaos.report import alike, unexcused
from tests.chaos.response_reading import ResponseReading
from tests.chaos.run import Outcome
from tests.stack import Stack, running, wait_for

ASKED = Request(7, Kind.STREAM, CHATS, {}, "7.0; 7.1; 7.2; 7.3;", "", None)


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        ("7.0; 7.1; 7.2; 7.3;", Fate.ANSWERED),
        ("7.0; 7.1;", Fate.LOST),
        ("", Fate.LOST),
        ("7.0; 7.1; 7.1; 7.2; 7.3;", Fate.DOUBLED),
        ("7.0; 7.1; 7.0; 7.1;", Fate.DOUBLED),
        ("7.0; 7.3;", Fate.GAP),
        ("7.1; 7.2; 7.3;", Fate.GAP),
        ("7.0; 8.1; 7.2; 7.3;", Fate.CROSSED),
    ],
)
def test_an_answer_is_judged_by_its_words(text: str, fate: Fate) -> None:
    assert judge(ASKED, text) is fate


def chunk(*, finish: str | None = None, **delta: Any) -> str:
    return json.dumps({"id": "one", "choices": [{"delta": delta, "finish_reason": finish}]})


def called(index: int, arguments: str, **more: str) -> dict[str, Any]:
    return {"index": index, "function": {"arguments": arguments, "name": "t"}, **more}


def test_a_stream_is_read_as_a_whole_answer_is() -> None:
    """And as another one, where its parts are told apart otherwise."""
    pieces: list[dict[str, Any]] = [
        {"reasoning_content": "7.0;"},
        {"content": "7.1;"},
        {"tool_calls": [called(0, "7", id="a")]},
        {"tool_calls": [called(0, ".2;")]},
        {"tool_calls": [called(1, "7.3;", id="b")]},
    ]
    stream, whole, other = Reading(), Reading(), Reading()
    for piece in pieces:
        assert stream.take("", chunk(**piece))
    message = {**pieces[0], **pieces[1], "tool_calls": [called(0, "7.2;", id="a"), called(1, "7.3;", id="b")]}
    answer = {"id": "one", "choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": {}}
    whole.take_whole(answer)
    assert (stream.text, stream.calls) == (whole.text, whole.calls)
    assert judge(replace(ASKED, expected=stream.text), whole.text) is Fate.ANSWERED
    other.take("", chunk(content="7.0;7.1;"))
    assert not stream.text.startswith(other.text)
    with pytest.raises(Failure, match="begins again"):
        stream.take("", chunk(tool_calls=[called(1, "7.3;", id="b")]))
    with pytest.raises(Failure, match="a piece of call 0 comes within call 1"):
        stream.take("", chunk(tool_calls=[called(0, "7.3;")]))


@pytest.mark.parametrize("form", Form)
def test_an_end_is_judged_by_what_is_known_of_it(form: Form) -> None:
    task = draw(form, ASKED.expected.split(), Random(1))
    asked = replace(ASKED, expected=task.answer.text, answer=task.answer)
    details = {"reasoning_tokens": task.answer.thoughts}
    usage = {"completion_tokens": task.answer.tokens, "completion_tokens_details": details}
    calls = {0: "a", 1: "b"} if "[call 1" in task.answer.text else {}
    likely, scores = list(task.answer.likely), list(task.answer.scores)
    end = Reading(task.answer.text, finish=task.answer.finish, usage=usage, calls=calls, likely=likely, scores=scores)
    assert not end.wrong(asked)
    assert "usage" in replace(end, usage={**usage, "completion_tokens": 99}).wrong(asked)
    assert "finish" in replace(end, finish="tool_calls" if end.finish == "length" else "length").wrong(asked)
    assert "ids" in replace(end, calls={0: "a", 1: "a"} if calls else {0: "a"}).wrong(asked)
    if likely:
        assert "tokens" in replace(end, likely=likely[1:]).wrong(asked)
        assert "number 0" in replace(end, likely=[("else", *likely[0][1:]), *likely[1:]]).wrong(asked)
    if scores:
        assert "prompt" in replace(end, scores=[*scores, scores[-1]]).wrong(asked)


def test_anthropics_events_are_read_as_a_whole_message_is() -> None:
    blocks: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({"type": "thinking", "thinking": ""}, {"thinking": "7.0;"}),
        ({"type": "text", "text": ""}, {"text": "7.1;"}),
        ({"type": "tool_use", "id": "a", "name": "t", "input": {}}, {"partial_json": '{"words": "7.2;"}'}),
    ]
    usage = {"output_tokens": 3, "output_tokens_details": {"thinking_tokens": 1}}
    stream, whole = Reading(), Reading()
    stream.take("1", json.dumps({"type": "message_start", "message": {"id": "one"}}))
    content = list[dict[str, Any]]()
    for index, (block, delta) in enumerate(blocks):
        stream.take("", json.dumps({"type": "content_block_start", "index": index, "content_block": block}))
        assert stream.take("", json.dumps({"type": "content_block_delta", "index": index, "delta": delta}))
        with pytest.raises(Failure, match="begins within"):
            stream.take("", json.dumps({"type": "content_block_start", "index": index + 1, "content_block": block}))
        stream.take("", json.dumps({"type": "content_block_stop", "index": index}))
        content.append({**block, **delta})
    content[-1]["input"] = {"words": "7.2;"}
    ending = {"stop_reason": "tool_use"}
    stream.take("", json.dumps({"type": "message_delta", "delta": ending, "usage": usage}))
    stream.take("", json.dumps({"type": "message_stop"}))
    whole.take_whole({"type": "message", "id": "one", "content": content, **ending, "usage": usage})
    assert replace(stream, last_id="") == replace(whole, _open=None)
    assert (stream.over, stream.finish, stream.calls) == (True, "tool_calls", {0: "a"})


def test_valkey_comes_back_with_what_it_had_a_moment_ago(tmp_path: Path) -> None:
    async def put_back(stack: Stack) -> None:
        marks = Marks(stack.directory)
        keeping = asyncio.create_task(marks.keep())
        stack.redis.set("before", 1)
        begun = time.monotonic()
        while not ((mark := marks.older(0.5)) and mark.at > begun):
            await asyncio.sleep(0.05)
        stack.redis.set("after", 1)
        keeping.cancel()
        stack.valkey.kill()
        stack.valkey.wait()
        marks.put_back(mark)

    with running(tmp_path) as stack:
        asyncio.run(put_back(stack))
        stack.start_valkey()
        assert stack.redis.keys() == [b"before"]


@asynccontextmanager
async def relayed(stack: Stack) -> AsyncIterator[tuple[Relay, redis.asyncio.Redis]]:
    relay = Relay(stack.redis_port)
    serving = asyncio.create_task(relay.serve())
    client = redis.asyncio.Redis(port=relay.port, protocol=2, socket_timeout=20, retry=Retry(NoBackoff(), 0))
    try:
        yield relay, client
    finally:
        await client.aclose()
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


def test_a_relay_that_is_cut_holds_back_and_goes_on(tmp_path: Path) -> None:
    async def cut(stack: Stack) -> None:
        async with relayed(stack) as (relay, client):
            await client.set("key", 1)
            relay.cut()
            known, new = asyncio.ensure_future(client.incr("key")), asyncio.ensure_future(client.incr("key"))
            await asyncio.sleep(0.5)
            assert stack.redis.get("key") == b"1"
            assert not known.done()
            assert not new.done()
            relay.heal(drop=False)
            assert sorted(await asyncio.gather(known, new)) == [2, 3]

    with running(tmp_path) as stack:
        asyncio.run(cut(stack))


def test_a_relay_that_drops_its_connections_takes_new_ones(tmp_path: Path) -> None:
    async def cut(stack: Stack) -> None:
        async with relayed(stack) as (relay, client):
            await client.set("key", 1)
            relay.cut()
            asking = asyncio.ensure_future(client.incr("key"))
            await asyncio.sleep(0.5)
            relay.heal(drop=True)
            with pytest.raises(redis.ConnectionError):
                await asking
            assert await client.incr("key") == 2

    with running(tmp_path) as stack:
        asyncio.run(cut(stack))


def test_events_of_a_response_are_numbered_and_fold_to_it() -> None:
    item: dict[str, Any] = {"type": "message", "role": "assistant", "id": "msg_1", "status": "completed"}
    item["content"] = [{"type": "output_text", "text": "7.0;"}]
    usage = {"output_tokens": 1, "output_tokens_details": {"reasoning_tokens": 0}}
    whole = {"id": "one", "status": "completed", "output": [item], "usage": usage}

    def event(number: int, kind: str, **more: Any) -> str:
        return json.dumps({"type": f"response.{kind}", "sequence_number": number, **more})

    told = [
        event(0, "created", response={"id": "one"}),
        event(1, "in_progress"),
        event(2, "output_item.added", item=item),
        event(3, "output_text.delta", delta="7.0;"),
        event(4, "output_item.done", item=item),
    ]
    reading, short = ResponseReading(), ResponseReading()
    for each in (*told, event(4, "in_progress"), event(5, "completed", response=whole)):
        reading.take("", each)
    assert (reading.text, reading.over, reading.told) == ("7.0;", True, whole)
    for each in told[:3]:
        short.take("", each)
    for number in (2, 4):
        with pytest.raises(Gap, match=f"event {number} .* comes after 2"):
            short.take("", event(number, "output_text.delta", delta="7.0;"))
    with pytest.raises(Failure, match="fold"):
        short.take("", event(3, "completed", response=whole))


def asked_of(model: str, expected: str, excused: tuple[float, str] | None = None) -> Any:
    """A client that has its answer."""
    request = replace(ASKED, body={"model": model, "prompt": (1, 2)}, expected=expected)
    return SimpleNamespace(request=request, name="7", story=[(0.0, "asks")], excused=[excused] if excused else [])


def test_adapters_that_answer_alike_prove_nothing() -> None:
    told = [asked_of("tiny", "one"), asked_of("tiny:formal", "two")]
    assert not list(alike(Outcome(told)))
    assert "tiny, tiny:formal, tiny:loud answer alike" in " ".join(
        alike(Outcome([*told, asked_of("tiny:loud", "two")]))
    )


def test_a_model_that_is_not_to_be_had_must_have_been_kept_away() -> None:
    cut = Fault("model file cut", at=100.0, hit=1, until=103.0)
    for at, is_broken in ((99.0, True), (101.0, False), (110.0, False), (150.0, True)):
        outcome = Outcome([asked_of("tiny", "one", (at, "model_unavailable"))], faults=[cut])
        assert bool(list(unexcused(outcome))) is is_broken, at
    outcome = Outcome([asked_of("tiny", "one", (101.0, "model_not_found"))], faults=[cut])
    assert list(unexcused(outcome)), "that is no reason for it"


def sees(machines: Machines, count: int) -> bool:
    return len(asyncio.run(machines.look())) == count


def test_more_models_than_there_is_room_for_are_seen_from_outside() -> None:
    """A supervisor with three workers, or with two that are too large."""
    bash = 'for name in "$@"; do (exec -a "$TITLE" bash -c "sleep 60; :" "$name") & done; wait'
    environ = {**os.environ, "TITLE": "inferq worker"}
    offered = Offered({"small": 1, "large": 5}, {}, machines=1, memory=8)
    for names, is_broken in (("small large", False), ("small small small", True), ("large large", True)):
        with subprocess.Popen(["bash", "-c", bash, "", *names.split()], env=environ, start_new_session=True) as process:
            child: Any = SimpleNamespace(pid=process.pid)
            machines = Machines(offered, [Machine(child, lambda **_: process, memory=8)])
            wait_for(partial(sees, machines, len(names.split())), "its workers")
            os.killpg(process.pid, signal.SIGKILL)
        assert bool(machines.crowded) is is_broken, names
        assert machines.loads == len(names.split())
