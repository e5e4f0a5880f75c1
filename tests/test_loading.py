"""A model that a worker is loading is waited for; one that is known and cannot be served is a 503, and never a 404."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from shared import registry
from shared.card import Card
from shared.registry import Worker
from tests.calls import CHATS, COMPLETIONS, chat, completion, job, problem, read, said, submit
from tests.fixtures.make_legacy import write
from tests.stack import Stack, children, running, wait_for
from tests.tiny import TINY

MODEL, ALIAS = "org/tiny", "gpt-4o-mini"
TOML = f"""
[[model]]
id = "{MODEL}"
aliases = ["{ALIAS}", "org/other"]
source = "{TINY}"
chat_format = "plain"
"""
SHORT: dict[str, Any] = {"model": ALIAS, "prompt": "thirteen green", "max_tokens": 2, "temperature": 0}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("loading")
    (folder / "models.toml").write_text(TOML)
    with running(
        folder, threads=1, context=256, slots=1, lease=2, headers_after=0.1, models=folder / "models.toml"
    ) as stack:
        stack.start_gateway()
        yield stack


@contextmanager
def loading(stack: Stack, model: str = MODEL) -> Iterator[None]:
    """A worker's engine host is stopped in the middle of its start; it goes on at the end."""
    worker = stack._inferq("worker", model)

    def told() -> Worker | None:
        return next((each for each in registry.workers(stack.redis) if each.pid == worker.pid), None)

    host = wait_for(lambda: next(iter(children(worker)), 0), "the engine host", 60)
    os.kill(host, signal.SIGSTOP)
    try:
        wait_for(lambda: (me := told()) and me.outline and me.outline.size, "the outline", 60)
        yield
        assert (me := told())
        assert (me.card, me.failing) == (None, False), "the host was stopped too late"
    finally:
        os.kill(host, signal.SIGCONT)


def test_nobody_is_there_yet(stack: Stack) -> None:
    """The client's own retries bring it there: a 404 would end them."""
    http = stack.http()
    assert http.get("/v1/models").json() == {"object": "list", "data": []}
    for answer in (
        http.get(f"/v1/models/{MODEL}"),
        http.post(CHATS, json=chat("Hello", model=MODEL)),
        http.get("/api/chat?prompt=x"),
    ):
        assert problem(answer, 503)["code"] == "no_worker"
        assert 0 < int(answer.headers["retry-after"]) <= 120
        assert "x-should-retry" not in answer.headers


def test_requests_wait_until_it_is_loaded(stack: Stack, pool: ThreadPoolExecutor) -> None:
    http, client = stack.http(), stack.client()

    def complete(**more: Any) -> httpx.Response:
        return stack.http().post(COMPLETIONS, json={**SHORT, **more})

    with loading(stack):
        [own, *aliases] = http.get("/v1/models").json()["data"]
        assert (own["id"], own["status"], own["max_model_len"]) == (MODEL, {"value": "loading"}, None)
        assert (own["quantisation"], own["capabilities"], own["engine"]) == (
            "F16",
            ["completion", "chat", "tools"],
            "llama.cpp",
        )
        assert [each["id"] for each in aliases] == [ALIAS, "org/other"]
        assert client.models.retrieve("org/other").id == "org/other"
        missing = problem(http.post(CHATS, json=chat("Hello", model="Org/Tiny")), 404)["message"]
        assert f"Did you mean {MODEL!r}?" in missing
        assert f"{MODEL} (loading), {ALIAS} (loading)" in missing

        later = submit(http, COMPLETIONS, SHORT)
        assert (job(http, later)["status"], job(http, later)["queue_position"]) == ("queued", 1)
        whole = pool.submit(lambda: client.completions.create(**SHORT))
        chats = pool.submit(client.chat.completions.create, model=MODEL, messages=said("Hello"), max_tokens=2)
        plain = pool.submit(stack.http().get, "/api/chat?prompt=Hello")
        streamed = pool.submit(read, stack, chat("Hello", model="org/other", max_tokens=2))
        long = pool.submit(complete, prompt="green " * 400)
        ids = pool.submit(complete, prompt=[1_000_000])
        wait_for(lambda: len(stack.jobs()) == 7, "all jobs")
        brief = http.post(COMPLETIONS, json=SHORT, headers={"x-request-timeout": "0.5"})
        assert problem(brief, 504)["code"] == "deadline_exceeded"
        assert [stack.state(each) for each in stack.jobs()].count("queued") == 7
    assert whole.result().model == chats.result().model == MODEL
    assert whole.result().choices[0].text
    assert plain.result().status_code == 200
    assert streamed.result()
    assert problem(long.result(), 400)["code"] == "context_length_exceeded"
    assert "1000000 is no token" in problem(ids.result(), 400)["message"]
    wait_for(lambda: job(http, later)["status"] == "completed", "the job that nobody waits for")

    [own, *aliases] = http.get("/v1/models").json()["data"]
    assert (own["status"], own["max_model_len"], own["slots"]) == ({"value": "loaded"}, 256, 1)
    assert problem(complete(model="gpt-4o-min"), 404)["message"] == (
        f"The model 'gpt-4o-min' does not exist. Did you mean {ALIAS!r}?"
        f" Models that exist: {MODEL}, {ALIAS}, org/other."
    )


def test_what_a_model_cannot_do_its_worker_says_where_nobody_knew(
    stack: Stack, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    """As while a file is fetched, of which nothing is known yet."""
    file = write("gptj", "F16", tmp_path / "silent.bin")
    outline = Card("silent", "", "", context=0, slots=1, created=1)
    fetching = Worker("fetching", outline.id, "host", 1, 1, reason="it loads the model", outline=outline)
    registry.announce(stack.redis, fetching)
    known = stack.jobs()
    asked = pool.submit(stack.http().post, CHATS, json=chat("Hello", model=outline.id))
    wait_for(lambda: stack.jobs().keys() - known.keys(), "the job")
    stack.start_worker(str(file), "--engine", "ctransformers")
    error = problem(asked.result(), 400)
    assert (error["param"], error["code"]) == ("model", "unsupported_value")
    assert "has no chat template" in error["message"]
    [listed] = [each for each in stack.http().get("/v1/models").json()["data"] if each["id"] == outline.id]
    assert (listed["capabilities"], listed["quantisation"], listed["engine"]) == (
        ["completion"],
        "F16",
        "ctransformers",
    )
    again = problem(stack.http().post(CHATS, json=chat("Hello", model=outline.id)), 400)
    assert again["message"].startswith(error["message"])
    registry.withdraw(stack.redis, fetching.name)


def test_a_model_that_does_not_load_is_told_with_its_reason(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "spoiled.gguf"
    file.write_bytes(b"GGUF" + b"\xff" * 60)
    stack._inferq("worker", str(file))
    http, body = stack.http(), completion("Once", model="spoiled")
    wait_for(lambda: [w for w in registry.workers(stack.redis) if w.failing], "the failure", 60)
    wait_for(lambda: http.post(COMPLETIONS, json=body).status_code == 503, "the refusal")
    for answer in (http.post(COMPLETIONS, json=body), http.get("/v1/models/spoiled")):
        error = problem(answer, 503)
        assert error["code"] == "model_unavailable"
        assert "The model's file cannot be served" in error["message"]
        assert str(tmp_path) not in error["message"]
        assert answer.headers["retry-after"]
    assert "spoiled" not in [each["id"] for each in http.get("/v1/models").json()["data"]]
    file.write_bytes(TINY.read_bytes())
    wait_for(lambda: http.post(COMPLETIONS, json={**SHORT, "model": "spoiled"}).status_code == 200, "the answer", 60)


def test_whoever_waits_is_told_when_it_cannot_be_loaded(stack: Stack, pool: ThreadPoolExecutor, tmp_path: Path) -> None:
    """But whoever has a status line already was accepted, and waits until it can."""
    file = tmp_path / "foreign.gguf"
    file.write_bytes(TINY.read_bytes().replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0lxxma", 1))
    http, body, known = stack.http(), {**SHORT, "model": "foreign"}, set(stack.jobs())
    with loading(stack, str(file)):
        later = submit(http, COMPLETIONS, body)
        begun = pool.submit(read, stack, chat("Hello", model="foreign", max_tokens=2))
        wait_for(lambda: len(stack.jobs().keys() - known) == 2, "the stream's job")
        time.sleep(0.5)  # INFERQ_HEADERS_AFTER, and more
        asked = pool.submit(stack.http().post, COMPLETIONS, json=body)
        wait_for(lambda: len(stack.jobs().keys() - known) == 3, "all jobs")
    error = problem(asked.result(), 503)
    assert (error["code"], error["param"]) == ("model_unavailable", "model")
    assert "The engine cannot load the model" in error["message"]
    assert asked.result().headers["retry-after"]
    wait_for(lambda: list(stack.jobs().values()).count("queued") == 2, "the end of the jobs that nobody waits for")
    file.write_bytes(TINY.read_bytes())
    begun.result(timeout=60)  # two tokens of a model of noise may be half a character, and no text
    wait_for(lambda: "queued" not in stack.jobs().values() and stack.state(later) == "completed", "both jobs' end", 60)


def test_a_client_that_comes_before_the_worker(empty: Stack, pool: ThreadPoolExecutor) -> None:
    """A model that is expected is waited for in the queue; to any other the client's own retries come back."""
    (empty.directory / "models.toml").write_text('[[model]]\nid = "talker"\naliases = ["gpt-4o"]\nengine = "echo"\n')
    empty.settings |= {"expected_models": "later, talker", "models": empty.directory / "models.toml"}
    empty.start_gateway()
    http, client, usual = empty.http(), empty.client(), empty.client(max_retries=2)
    assert [(model.id, model.created) for model in client.models.list()] == [("later", 0), ("talker", 0)]
    by_alias = pool.submit(usual.chat.completions.create, model="gpt-4o", messages=said("Hello"))
    wait_for(lambda: 'outcome="no_worker"' in http.get("/metrics").text, "the refusal")
    by_id = pool.submit(client.chat.completions.create, model="talker", messages=said("Hello"))
    wait_for(empty.jobs, "the job")
    empty.start_worker("talker")
    for asked in (by_id, by_alias):
        assert asked.result().choices[0].message.content == "Hello"
    wait_for(lambda: http.get("/v1/props").json()["model_alias"] == "talker", "the model that can be used now")
    assert http.get("/api/chat?prompt=Hello", timeout=20).text == "Hello"


def card(model: str = "m", **more: Any) -> Card:
    return Card(model, "echo", "echo", **{"context": 8, "slots": 1, "created": 1, **more})


def test_a_card_of_version_0_2_0_is_read_and_ours_by_it(stack: Stack) -> None:
    fields = {"id": "m", "engine": "echo", "architecture": "echo", "context": 8, "slots": 1, "created": 1}
    fields |= {"capabilities": ["completion"], "aliases": [], "digest": ""}
    told = {"name": "w", "model": "m", "host": "h", "pid": 1, "since": 1, "card": fields, "reason": "", "wire": 3}
    told |= {"loop_errors": {}, "version": "0.2.0"}
    stack.redis.set("iq:card:workers:w", json.dumps(told))
    stack.redis.zadd("iq:live:workers", {"w": 2**53})
    [found] = [each for each in registry.workers(stack.redis) if each.name == "w"]
    assert (found.card, found.outline) == (card(capabilities=("completion",)), None)
    registry.announce(stack.redis, replace(found, outline=card(), card=None))
    blob: Any = stack.redis.get("iq:card:workers:w")
    written = json.loads(blob)
    assert written.keys() >= told.keys()
    assert written["card"] is None
    registry.withdraw(stack.redis, "w")


def test_tools_are_for_models_that_can_call_them(stack: Stack) -> None:
    """Which no card of version 0.2.0 says."""
    old = card("old", capabilities=("completion", "chat"))
    registry.announce(stack.redis, Worker("old", old.id, "host", 1, 1, card=old, version="0.2.0"))
    tools = [{"type": "function", "function": {"name": "f"}}]
    call = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}
    result = {"role": "tool", "tool_call_id": "1", "content": "4"}
    for param, more in (("tools", {"tools": tools}), ("messages", {"messages": [call, result]})):
        error = problem(stack.http().post(CHATS, json=chat("Hello", **more, model="old")), 400)
        assert (error["param"], error["code"]) == (param, "unsupported_value")
        assert "serve it with the engine llama.cpp" in error["message"]
    asked = chat("Hello", model="old", tools=tools, tool_choice="none")
    assert stack.http().delete(f"/v1/jobs/{submit(stack.http(), CHATS, asked)}").json()["status"] == "cancelled"
    registry.withdraw(stack.redis, "old")
