"""Answers are what our own description says, where OpenAI has none: messages, infill, jobs, the gateway itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.calls import CHATS, COMPLETIONS, LATER, chat, completion
from tests.descriptions import Description, Schema, Watched
from tests.stack import Stack, running

MESSAGES = "/v1/messages"
THOUGHTS = "<think>hm hm</think>Well"
CALLS = '[{"content": "Let me see. "}, {"name": "look", "arguments": {"at": "the sky"}}]'
LOOK = {"name": "look", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}
OLLAMAS_LOOK = {"type": "function", "function": {"name": "look", "parameters": LOOK["input_schema"]}}
TOKENS: dict[str, Any] = {"return_token_ids": True, "logprobs": True, "top_logprobs": 1, "prompt_logprobs": 1}


def message(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "echo", "max_tokens": 100, "messages": [{"role": "user", "content": text}], **more}


GENERATED: dict[str, tuple[str, dict[str, Any]]] = {
    "message": (MESSAGES, message("Hello there")),
    "message, stopped": (MESSAGES, message("Hello there", stop_sequences=["there"])),
    "message, calls": (MESSAGES, message(CALLS, tools=[LOOK])),
    "message, thoughts": (
        MESSAGES,
        message(THOUGHTS, thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=2048),
    ),
    "Ollama, calls": (
        "/api/chat",
        {"model": "echo", "messages": message(CALLS)["messages"], "tools": [OLLAMAS_LOOK], "format": "json"},
    ),
    "Ollama, thoughts": (
        "/api/chat",
        {
            "model": "echo",
            "messages": message(THOUGHTS)["messages"],
            "think": True,
            "logprobs": True,
            "top_logprobs": 1,
        },
    ),
    "Ollama, text": ("/api/generate", {"model": "echo", "prompt": "Hello there", "logprobs": True}),
    "Ollama, load": ("/api/generate", {"model": "echo"}),
    "infill": ("/v1/infill", {"input_prefix": "a", "input_suffix": "b", "n_predict": 4}),
    "infill, several": (
        "/v1/infill",
        {"input_prefix": "a", "input_suffix": "b", "n_predict": 4, "n": 2, "return_tokens": True},
    ),
    "chat, tokens": (CHATS, chat("Hello there", return_token_ids=True)),
    "chat, continuous": (CHATS, chat("Hello", stream_options={"include_usage": True, "continuous_usage_stats": True})),
    "completion, tokens": (COMPLETIONS, completion("Hello there", return_token_ids=True)),
    "completion, continuous": (
        COMPLETIONS,
        completion("Hello", stream_options={"include_usage": True, "continuous_usage_stats": True}),
    ),
}
ASKED: dict[str, dict[str, Any]] = {
    "/v1/tokenize": {"prompt": "a b", "return_token_strs": True},
    "/v1/detokenize": {"tokens": [1, 2]},
    "/v1/apply-template": chat("a"),
    "/v1/chat/completions/input_tokens": chat("a"),
    "/v1/messages/count_tokens": message("a"),
}


@pytest.fixture(scope="module")
def document(stack: Stack) -> Schema:
    described: Schema = stack.http().get("/openapi.json").json()
    return described


@pytest.fixture(scope="module")
def ask(stack: Stack, document: Schema) -> Watched:
    return Watched(stack.http(), Description(document, closed=True))


@pytest.mark.parametrize("case", GENERATED)
def test_what_is_generated(ask: Watched, case: str) -> None:
    path, body = GENERATED[case]
    if "stream_options" not in body:
        ask("POST", path, json={**body, "stream": False})
    ask("POST", path, json={**body, "stream": True})


def test_what_was_likely(ask: Watched) -> None:
    for path, body in (
        (CHATS, chat("Hello", **TOKENS)),
        (COMPLETIONS, completion("Hello", **{**TOKENS, "logprobs": 1})),
    ):
        ask("POST", path, json={name: value for name, value in body.items() if path == CHATS or name != "top_logprobs"})


@pytest.mark.parametrize("path", ASKED)
def test_what_is_asked_of_a_tokenizer(ask: Watched, path: str) -> None:
    ask("POST", path, json={"model": "echo", **ASKED[path]})
    ask("POST", path, status=400, json={"model": 1})


def test_what_ollamas_clients_ask_for(ask: Watched) -> None:
    for path in ("/api/tags", "/api/ps", "/api/version"):
        ask("GET", path)
    ask("POST", "/api/show", json={"model": "echo"})
    ask("POST", "/api/pull", json={"model": "echo", "stream": False})
    ask("POST", "/api/embed", json={"model": "echo", "input": ["a", "b"]})
    ask("POST", "/api/embeddings", json={"model": "echo", "prompt": "a"})
    ask("POST", "/api/chat", status=404, json={"model": "none", "messages": []})


def test_other_ways_to_tokenize(ask: Watched) -> None:
    for more in ({"content": "a b"}, {"content": "a b", "with_pieces": True}, {"messages": chat("a")["messages"]}):
        ask("POST", "/v1/tokenize", json={"model": "echo", **more})
    ask("GET", "/v1/tokenizer_info", params={"model": "echo"})


def test_what_answers_a_query_best(ask: Watched) -> None:
    for more in ({"documents": ["a", "b"]}, {"documents": ["a"], "return_documents": True}, {"texts": ["a", "b"]}):
        ask("POST", "/v1/rerank", json={"model": "echo", "query": "a", **more})


def test_a_job(ask: Watched) -> None:
    job = ask("POST", CHATS, status=202, json=chat("on and " * 1000), headers=LATER)["id"]
    ask("GET", f"/v1/jobs/{job}")
    ask("GET", "/v1/jobs")
    ask("GET", "/v1/overview")
    ask("DELETE", f"/v1/jobs/{job}")
    ask("GET", "/v1/jobs/none", status=404)


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/readyz", "/health", "/ping", "/version", "/v1/props", "/v1/models"]
)
def test_the_gateway(ask: Watched, path: str) -> None:
    ask("GET", path)


def test_models_in_anthropics_words(ask: Watched) -> None:
    ask("GET", "/v1/models", headers={"anthropic-version": "2023-06-01"})
    ask("GET", "/v1/models/echo", headers={"anthropic-version": "2023-06-01"})


def test_every_operation_says_what_it_answers(document: Schema) -> None:
    """No answer may be anything, and no property of one."""
    for path, said in document["paths"].items():
        for method, operation in said.items():
            for status, answer in operation["responses"].items():
                for kind, content in answer.get("content", {}).items():
                    place = f"{method} {path} {status} {kind}"
                    assert list(empties(content["schema"], place)) == []
    for name, shape in document["components"]["schemas"].items():
        assert list(empties(shape, name)) == []


def empties(schema: Any, place: str) -> Iterator[str]:
    """Where within a schema anything is allowed without a word of it."""
    if not schema.keys() & {"type", "enum", "const", "$ref", "anyOf"}:
        yield place
    for name, one in schema.get("properties", {}).items():
        yield from empties(one, f"{place} {name}")
    for one in schema.get("anyOf", ()):
        yield from empties(one, place)
    if schema.get("items"):  # of an array that may hold anything they say so
        yield from empties(schema["items"], f"{place} []")


def test_strangers_get_nothing_else(tmp_path: Path) -> None:
    """Whatever is not described as open to all."""
    with running(tmp_path, api_keys="anna:sk-anna-0123456789") as stack:
        stack.start_gateway(processes=1)
        http = stack.http()
        for path, said in http.get("/openapi.json").json()["paths"].items():
            for method, operation in said.items():
                if {} not in operation.get("security", ()):
                    answer = http.request(method, path.replace("{", "").replace("}", ""))
                    assert answer.status_code == 401, f"{method} {path}: {answer.text}"


@pytest.mark.parametrize("spoil", [{"more": 1}, {"choices": [{"index": 0}]}, {"created": -1}, {"usage": None}])
def test_what_is_otherwise_is_found(ask: Watched, document: Schema, spoil: dict[str, Any]) -> None:
    answer = ask.http.post(CHATS, json=chat("a"))
    spoiled = httpx.Response(200, json=answer.json() | spoil, request=answer.request)
    assert Description(document, closed=True).faults(spoiled)
    assert not Description(document, closed=True).faults(answer)
