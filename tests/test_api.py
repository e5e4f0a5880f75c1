"""What the API answers when nothing is wrong: the unmodified client and plain HTTP against the real parts."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx2 as httpx
import pytest
from openai import OpenAI

from shared import registry
from shared.card import Card
from shared.version import VERSION
from tests.calls import CHATS, COMPLETIONS, LATER, chat, completion, data, said, spoken
from tests.stack import Stack, wait_for

TEXT = "Hello  there,\n\nyou 世界 \t 🙂 of “echoes”"
"""Its white space and its characters must come through as they are."""
TOKENS = 7


# --- models


def test_models(echo: Stack, http: httpx.Client) -> None:
    client = echo.client(_strict_response_validation=True)
    [model] = client.models.list().data
    assert client.models.retrieve("echo") == model
    raw = http.get("/v1/models").json()
    [card] = [worker.card for worker in registry.workers(echo.redis) if worker.card]
    assert raw == {
        "object": "list",
        "data": [
            {
                "id": "echo",
                "object": "model",
                "created": card.created,
                "owned_by": "echo",
                "root": "echo",
                "parent": None,
                "max_model_len": 32_768,
                "state": "ready",
                "reason": None,
                "status": {"value": "loaded"},
                "engine": "echo",
                "architecture": "echo",
                "quantisation": None,
                "capabilities": [
                    "completion",
                    "chat",
                    "reasoning",
                    "reasoning_effort",
                    "tools",
                    "infill",
                    "embedding",
                    "rerank",
                ],
                "dimensions": [8, 16, 32, 64],
                "slots": 4,
                "sampling": {},
                "meta": {"n_ctx": 32_768, "n_ctx_train": None, "n_embd": 64, "n_params": None, "size": None},
            }
        ],
    }


def test_a_model_with_a_slash(echo: Stack, http: httpx.Client, client: OpenAI) -> None:
    card = Card("org/model", "echo", "echo", context=1, slots=1, created=1)
    registry.announce(echo.redis, registry.Worker("test", card.id, "host", pid=1, since=1, card=card))
    try:
        assert [model.id for model in client.models.list()] == ["echo", "org/model"]
        assert client.models.retrieve("org/model").id == "org/model"
        assert http.get("/v1/models/org/model").json() == http.get("/v1/models/org%2Fmodel").json()
    finally:
        registry.withdraw(echo.redis, "test")
        echo.redis.zrem("iq:live:models", "org/model")


# --- whole answers


def test_chat(http: httpx.Client) -> None:
    response = http.post(CHATS, json=chat(TEXT))
    answer = response.json()
    assert answer["id"].startswith("chatcmpl-")
    assert abs(answer["created"] - time.time()) < 60
    assert answer == {
        "id": answer["id"],
        "object": "chat.completion",
        "created": answer["created"],
        "model": "echo",
        "service_tier": "default",
        "system_fingerprint": answer["system_fingerprint"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": TEXT, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": usage(TOKENS, TOKENS),
    }
    assert response.headers["location"] == f"/v1/jobs/{answer['id']}"
    assert response.headers["x-request-id"].startswith("req_")


def test_completion(http: httpx.Client) -> None:
    response = http.post(COMPLETIONS, json=completion(TEXT))
    answer = response.json()
    assert answer["id"].startswith("cmpl-")
    assert answer == {
        "id": answer["id"],
        "object": "text_completion",
        "created": answer["created"],
        "model": "echo",
        "service_tier": "default",
        "system_fingerprint": answer["system_fingerprint"],
        "choices": [{"index": 0, "text": TEXT, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage(TOKENS, TOKENS),
    }
    assert response.headers["location"] == f"/v1/jobs/{answer['id']}"


def usage(prompt: int, answer: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


@pytest.mark.parametrize(("path", "body"), [(CHATS, chat(TEXT)), (COMPLETIONS, completion(TEXT))])
def test_the_fingerprint_is_the_same_in_every_part(
    echo: Stack, http: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    """Of the model and the release; also where the answer is read once more, from whichever process."""
    [card] = [worker.card for worker in registry.workers(echo.redis) if worker.card]
    job = http.post(path, json={**body, "n": 2, "stream": True}, headers=LATER).json()["id"]
    wait_for(lambda: echo.state(job) == "completed", "the job")
    chunks = [
        *data(http.post(path, json={**body, "stream": True}).text.split("\n")),
        *data(line for line in http.get(f"/v1/jobs/{job}/events").text.split("\n") if not line.startswith("id: ")),
        http.post(path, json=body).json(),
        http.get(f"/v1/jobs/{job}").json()["result"],
    ]
    told = {chunk["system_fingerprint"] for chunk in chunks if chunk != "[DONE]"}
    assert told == {f"inferq-{VERSION}-{card.digest}".rstrip("-")}


# --- streams


@pytest.mark.parametrize("kind", ["chat", "completion"])
def test_each_chunk_tells_the_usage_where_it_is_asked_to(client: OpenAI, kind: str) -> None:
    """As guidellm and vLLM's benchmark ask; `include_usage` alone decides whether it is told at all."""
    options: Any = {"include_usage": True, "continuous_usage_stats": True}
    more: dict[str, Any] = {"model": "echo", "stream": True, "stream_options": options, "max_tokens": 5}
    *chunks, last = generate(client, kind, more)
    told = [chunk.usage for chunk in chunks]
    assert all(used and used.total_tokens == used.prompt_tokens + used.completion_tokens for used in told)
    counts = [used.completion_tokens for used in told]
    assert counts == sorted(counts)
    assert counts[0] == (0 if kind == "chat" else 1)
    assert len(set(counts)) > 2
    assert {used.prompt_tokens for used in told[kind == "chat" :]} == {6}, (
        "also of a short one, from the first token on"
    )
    assert told[-1].completion_tokens == 5
    assert (last.choices, last.usage.completion_tokens) == ([], 5)
    del options["include_usage"]
    chunks = list(generate(client, kind, more))
    assert chunks
    assert not any(chunk.usage for chunk in chunks)


def generate(client: OpenAI, kind: str, more: dict[str, Any]) -> Any:
    text = "one two three four five six"
    if kind == "chat":
        return client.chat.completions.create(messages=said(text), **more)
    return client.completions.create(prompt=text, **more)


@pytest.mark.parametrize("include_usage", [False, True])
@pytest.mark.parametrize(("path", "body"), [(CHATS, chat(TEXT)), (COMPLETIONS, completion(TEXT))])
def test_stream(http: httpx.Client, path: str, body: dict[str, Any], include_usage: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    with http.stream("POST", path, json={**body, "stream": True, **options}) as response:
        content = response.read().decode()
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-request-id"].startswith("req_")
    assert content.endswith("}\n\ndata: [DONE]\n\n")
    assert all(line == "" or line.startswith("data: ") for line in content.split("\n"))  # no id, no retry, no comment
    *chunks, done = data(content.split("\n"))
    assert done == "[DONE]"
    assert spoken(chunks) == TEXT
    assert {f"/v1/jobs/{chunk['id']}" for chunk in chunks} == {response.headers["location"]}
    assert len({chunk["created"] for chunk in chunks}) == 1
    fields = {"id", "object", "created", "model", "choices", "service_tier", "system_fingerprint"}
    assert all(chunk.keys() == fields | ({"usage"} if include_usage else set()) for chunk in chunks)
    if include_usage:
        last = chunks.pop()
        assert last["choices"] == []
        assert last["usage"] == usage(TOKENS, TOKENS)
        assert all(chunk["usage"] is None for chunk in chunks)
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["stop"]


def test_the_first_chunk_of_a_chat_says_who_speaks(http: httpx.Client) -> None:
    with http.stream("POST", CHATS, json=chat("Hello there", stream=True)) as response:
        *chunks, _ = data(response.iter_lines())
    assert [chunk["choices"] for chunk in chunks] == [
        [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]
        for delta, reason in (
            ({"role": "assistant", "content": ""}, None),
            ({"content": "Hello"}, None),
            ({"content": " there"}, None),
            ({}, "stop"),
        )
    ]


# --- the client


def test_the_strict_client(echo: Stack) -> None:
    client = echo.client(_strict_response_validation=True)
    answer = client.chat.completions.create(model="echo", messages=said(TEXT))
    assert answer.choices[0].message.content == TEXT
    assert client.completions.create(model="echo", prompt=TEXT).choices[0].text == TEXT
    stream = client.chat.completions.create(
        model="echo", messages=said(TEXT), stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = stream
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert last.usage is not None
    assert last.usage.completion_tokens == TOKENS


def test_the_clients_streams(client: OpenAI) -> None:
    # The strict one refuses the null finish_reason that OpenAI sends too.
    parts = client.completions.create(model="echo", prompt=TEXT, stream=True)
    assert "".join(part.choices[0].text for part in parts) == TEXT
    with client.chat.completions.stream(model="echo", messages=said(TEXT)) as stream:
        assert "".join(event.delta for event in stream if event.type == "content.delta") == TEXT
        final = stream.get_final_completion()
    assert final.choices[0].message.content == TEXT
    assert final.choices[0].finish_reason == "stop"


def test_a_hundred_at_once_through_two_processes(echo: Stack) -> None:
    async def ask(client: Any, number: int) -> tuple[str, str]:
        """The answer's id and text; every other one is streamed."""
        question = text(number)
        if number % 2:
            answer = await client.chat.completions.create(model="echo", messages=said(question))
            return answer.id, answer.choices[0].message.content
        stream = await client.chat.completions.create(model="echo", messages=said(question), stream=True)
        chunks = [chunk async for chunk in stream]
        assert len({chunk.id for chunk in chunks}) == 1
        return chunks[0].id, "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

    async def ask_all() -> list[tuple[str, str]]:
        async with echo.async_client() as client:
            return await asyncio.gather(*(ask(client, number) for number in range(100)))

    def text(number: int) -> str:
        return f"number {number}" + f" and {number}" * (number % 13)

    answers = asyncio.run(ask_all())
    assert [answer for _, answer in answers] == [text(number) for number in range(100)]
    ids = {job_id for job_id, _ in answers}
    assert len(ids) == 100
    assert len({echo.redis.hget(f"iq:job:{job_id}", "reply") for job_id in ids}) == 2


# --- health


def test_health(http: httpx.Client) -> None:
    assert http.get("/healthz").json() == {"status": "ok"}
    ready = http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "models": ["echo"], "unready": []})


def test_a_gateway_without_a_worker(empty: Stack) -> None:
    empty.start_gateway()
    http = empty.http()
    assert http.get("/healthz").status_code == 200
    assert http.get("/readyz").status_code == 503
    assert http.get("/v1/models").json() == {"object": "list", "data": []}
    refused = http.post(CHATS, json=chat("Hello"))
    assert refused.status_code == 503
    assert "No worker has come yet" in refused.json()["error"]["message"]
