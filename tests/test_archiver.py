"""From Redis into the archive: nothing that was to be stored is lost on the way, whoever dies or cannot be written."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response

from gateway.archive.archive import Archive
from gateway.archive.thing import Thing, ThingKind
from gateway.packing import pack
from shared import streams
from shared.audit import audit
from shared.codec import encode
from shared.config import Config
from shared.protocol import Delta, Done, State, Usage
from tests.losses import copy_of, go_back, lose_job
from tests.stack import Stack, children, running, stop, wait_for

SLOW, SLOWER = "word " * 100, "word " * 400
"""Three seconds of an answer, and twelve of one that is not to end before it was hurt."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("archiver")) as stack:
        stack.start_gateway(processes=2)
        stack.start_worker(echo_rate=33)
        yield stack


@pytest.fixture
def client(stack: Stack) -> OpenAI:
    return stack.client()


def ask(client: OpenAI, text: str = "Hello there", **more: Any) -> str:
    response: Response = client.responses.create(model="echo", input=text, **more)
    return response.id


def told(client: OpenAI, response_id: str) -> dict[str, Any]:
    return client.responses.retrieve(response_id).to_dict()


def waiting(stack: Stack) -> int:
    count: Any = stack.redis.zcard("iq:unarchived")
    return int(count)


def stored(stack: Stack) -> None:
    wait_for(lambda: not waiting(stack), "the answers in the archive", 60)


def test_a_conversation_has_what_was_said_before_its_end_is_told(stack: Stack, client: OpenAI) -> None:
    conversation = client.conversations.create().id
    for text in ("one", "two"):
        ask(client, text, conversation=conversation)
    response_id = ask(client, "three", conversation=conversation, background=True)
    wait_for(lambda: client.responses.retrieve(response_id).status == "completed", "the end")
    items: list[Any] = list(client.conversations.items.list(conversation, order="asc"))
    assert [item.content[0].text for item in items] == ["one", "one", "two", "two", "three", "three"]
    gone = ask(client, SLOW, conversation=conversation, background=True)
    client.conversations.delete(conversation)
    stored(stack)
    assert client.responses.retrieve(gone).output_text == SLOW


def test_who_waits_for_a_lost_job_is_told_what_is_stored(
    stack: Stack, client: OpenAI, pool: ThreadPoolExecutor
) -> None:
    stored(stack)
    before = set(stack.jobs())
    answers = [pool.submit(said, client, stream) for stream in (False, True)]
    ids = wait_for(lambda: len(found := set(stack.jobs()) - before) == 2 and found, "the jobs")
    wait_for(lambda: all(stack.events(each) > 3 for each in ids), "a part of each")
    for job_id in ids:
        accepted = streams.accepted(stack.redis, job_id)
        ending = Delta(offset=len(SLOWER), finish_reason="stop"), Done(Usage(1, 400))
        events = [encode([Delta("word ", (1,), offset=5 * index)]) for index in range(400)] + [encode(ending)]
        archive = Archive.open(Config(archive=str(stack.settings["archive"])))
        thing = Thing(job_id, ThingKind.RESPONSE, "", accepted.created)
        assert archive.keep(thing, pack(accepted, State.COMPLETED, ("Hello",), events))
        lose_job(stack, job_id)
    assert [answer.result(60) for answer in answers] == [SLOWER, SLOWER]
    assert set(stack.jobs()) <= before


def said(client: OpenAI, stream: bool) -> str:
    if not stream:
        whole: Response = client.responses.create(model="echo", input=SLOWER)
        return whole.output_text
    events = client.responses.create(model="echo", input=SLOWER, stream=True)
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


def test_what_was_stored_stays_when_redis_forgets_the_end(stack: Stack, client: OpenAI) -> None:
    stored(stack)
    response_id = ask(client, 2 * SLOW, background=True)
    wait_for(lambda: stack.events(response_id) > 3, "a part of the answer")
    copy = copy_of(stack)
    assert stack.state(response_id) == "in_progress"
    wait_for(lambda: stack.state(response_id) == "completed", "the end")
    stored(stack)
    before = told(client, response_id)
    go_back(stack, copy)  # to where it runs: it could not be cancelled else
    assert told(client, response_id) == before
    wait_for(lambda: stack.state(response_id) == "cancelled", "the end of what nobody waits for", 60)
    assert told(client, response_id) == before
    assert not waiting(stack)


def test_what_waits_to_be_stored_can_be_changed(stack: Stack, client: OpenAI) -> None:
    """Its change does not wait for the archiver, which tries again in a while."""
    ask(client)
    stored(stack)
    archive, aside = Path(stack.settings["archive"]), stack.directory / "aside"
    archive.rename(aside)
    archive.write_text("no folder")
    chats = client.chat.completions
    messages: Any = [{"role": "user", "content": "Hello"}]
    chat = chats.create(model="echo", messages=messages, store=True)
    with pytest.raises(openai.InternalServerError, match="out of reach"):
        chats.update(chat.id, metadata={"a": "b"})
    assert waiting(stack) == 1
    archive.unlink()
    aside.rename(archive)
    assert chats.update(chat.id, metadata={"a": "b"}).metadata == {"a": "b"}
    assert [each.id for each in chats.list(metadata={"a": "b"})] == [chat.id]


def test_one_that_cannot_be_stored_holds_up_no_other(stack: Stack, client: OpenAI) -> None:
    stored(stack)
    archive, aside = Path(stack.settings["archive"]), stack.directory / "aside"
    archive.rename(aside)
    archive.write_text("no folder")
    ids = [ask(client, f"number {i}") for i in range(6)]
    broken = ids[2]
    given: Any = stack.redis.get(f"iq:given:{broken}")
    stack.redis.set(f"iq:given:{broken}", "no list")
    archive.unlink()
    aside.rename(archive)
    wait_for(lambda: waiting(stack) == 1, "the others in the archive", 60)
    assert stack.redis.zrange("iq:unarchived", 0, -1) == [broken.encode()]
    stack.redis.set(f"iq:given:{broken}", given)
    stored(stack)
    assert [client.responses.retrieve(each).output_text for each in ids] == [f"number {i}" for i in range(6)]


def test_nothing_is_lost_with_the_gateways_while_the_archive_cannot_be_written(stack: Stack, client: OpenAI) -> None:
    stored(stack)
    archive, aside = Path(stack.settings["archive"]), stack.directory / "aside"
    archive.rename(aside)
    archive.write_text("no folder")
    ids = [ask(client, f"number {i}") for i in range(4)]
    for pid in (*children(stack.gateway), stack.gateway.pid):
        os.kill(pid, signal.SIGKILL)
    stack.gateway.wait()
    assert waiting(stack) == 4
    assert all(stack.redis.ttl(f"iq:{kind}:{each}") == -1 for kind in ("job", "events", "given") for each in ids)
    archive.unlink()
    aside.rename(archive)
    stack.start_gateway(processes=2)
    before = [told(client, each) for each in ids]
    stored(stack)
    assert all(stack.redis.ttl(f"iq:{kind}:{each}") > 0 for kind in ("job", "events") for each in ids)
    assert not list(stack.redis.scan_iter("iq:given:*"))
    assert not {finding.subject for finding in audit(stack.redis).findings} & set(ids)
    stop(stack.gateway)
    stack.redis.flushall()
    stack.start_gateway()
    assert [told(client, each) for each in ids] == before
    assert [each["status"] for each in before] == ["completed"] * 4
