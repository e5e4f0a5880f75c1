"""From Redis into the archive: nothing that was to be stored is lost on the way, whoever dies or cannot be written."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from openai.types.responses import Response

from gateway.archive.archive import Archive
from gateway.archive.thing import Thing, ThingKind
from gateway.packing import pack
from shared import streams
from shared.codec import encode
from shared.config import Config
from shared.protocol import Delta, Done, State, Usage
from tests.losses import copy_of, go_back, lose_job
from tests.stack import Stack, children, running, stop, wait_for

RESPONSE = ThingKind.RESPONSE
SLOW = "word " * 100
"""Five seconds of an answer."""


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with running(tmp_path) as stack:
        stack.start_worker(echo_rate=20)
        yield stack


def ask(client: OpenAI, text: str = "Hello there", **more: Any) -> str:
    response: Response = client.responses.create(model="echo", input=text, **more)
    return response.id


def told(stack: Stack, response_id: str) -> dict[str, Any]:
    return stack.client().responses.retrieve(response_id).to_dict()


def waiting(stack: Stack) -> int:
    count: Any = stack.redis.zcard("iq:unarchived")
    return int(count)


def stored(stack: Stack) -> None:
    wait_for(lambda: not waiting(stack), "the answers in the archive")


def test_an_answer_leaves_redis_and_is_the_same_after_a_restart_of_everything(stack: Stack) -> None:
    gateway = stack.start_gateway(processes=2)
    ids = [ask(stack.client(), f"number {i}") for i in range(8)]
    before = [told(stack, each) for each in ids]
    stored(stack)
    assert all(stack.redis.ttl(f"iq:{kind}:{each}") > 0 for kind in ("job", "events") for each in ids)
    assert not list(stack.redis.scan_iter("iq:given:*"))
    assert [told(stack, each) for each in ids] == before
    stop(gateway)
    stack.redis.flushall()
    stack.start_gateway()
    assert [told(stack, each) for each in ids] == before


def test_what_cannot_be_written_waits_in_redis_beyond_the_death_of_its_gateway(stack: Stack) -> None:
    archive = Path(stack.settings["archive"])
    archive.write_text("no folder")
    gateway = stack.start_gateway(processes=2)
    ids = [ask(stack.client(), f"number {i}") for i in range(4)]
    for pid in (*children(gateway), gateway.pid):
        os.kill(pid, signal.SIGKILL)
    gateway.wait()
    assert waiting(stack) == 4
    assert all(stack.redis.ttl(f"iq:{kind}:{each}") == -1 for kind in ("job", "events", "given") for each in ids)
    archive.unlink()
    stack.start_gateway()
    stored(stack)
    stack.redis.flushall()
    assert [told(stack, each)["status"] for each in ids] == ["completed"] * 4


def test_what_was_stored_stays_when_redis_forgets_the_end(stack: Stack) -> None:
    stack.start_gateway(processes=2)
    client = stack.client()
    response_id = ask(client, SLOW, background=True)
    wait_for(lambda: stack.events(response_id) > 3, "a part of the answer")
    copy = copy_of(stack)
    assert stack.state(response_id) == "in_progress"
    wait_for(lambda: stack.state(response_id) == "completed", "the end")
    stored(stack)
    before = told(stack, response_id)
    go_back(stack, copy)
    assert waiting(stack) == 1
    assert told(stack, response_id) == before
    wait_for(lambda: stack.state(response_id) == "cancelled", "the end of what nobody waits for")
    assert told(stack, response_id) == before
    assert not waiting(stack)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_who_waits_for_a_lost_job_is_told_what_is_stored(stack: Stack, pool: ThreadPoolExecutor, stream: bool) -> None:
    stack.start_gateway()
    answer = pool.submit(said, stack.client(), stream)
    job_id = wait_for(lambda: next(iter(stack.jobs()), None), "the job")
    wait_for(lambda: stack.events(job_id) > 3, "a part of the answer")
    accepted = streams.accepted(stack.redis, job_id)
    ending = Delta(offset=len(SLOW), finish_reason="stop"), Done(Usage(1, 100))
    events = [encode([Delta("word ", (1,), offset=5 * index)]) for index in range(100)] + [encode(ending)]
    archive = Archive.open(Config(archive=str(stack.settings["archive"])))
    thing = Thing(job_id, RESPONSE, "", accepted.created)
    assert archive.keep(thing, pack(accepted, State.COMPLETED, ("Hello",), events))
    lose_job(stack, job_id)
    assert answer.result(60) == SLOW
    assert stack.jobs() == {}


def said(client: OpenAI, stream: bool) -> str:
    if not stream:
        whole: Response = client.responses.create(model="echo", input=SLOW)
        return whole.output_text
    events = client.responses.create(model="echo", input=SLOW, stream=True)
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def test_a_conversation_has_what_was_said_before_its_end_is_told(stack: Stack) -> None:
    stack.start_gateway(processes=2)
    client = stack.client()
    conversation = client.conversations.create().id
    for text in ("one", "two"):
        ask(client, text, conversation=conversation)
    ask(client, "three", conversation=conversation, background=True)
    wait_for(lambda: len(list(client.conversations.items.list(conversation))) == 6, "the last one")
    items = client.conversations.items.list(conversation, order="asc")
    assert [item.content[0].to_dict()["text"] for item in items if item.type == "message"] == [
        "one",
        "one",
        "two",
        "two",
    ]
    client.conversations.delete(conversation)
