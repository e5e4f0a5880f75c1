"""Answers are what OpenAI's published description says: all that its clients may ask for here, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import httpx2 as httpx
import pytest

from tests.calls import CHATS, COMPLETIONS, chat, completion
from tests.descriptions import Description, Watched, published
from tests.stack import Stack

RESPONSES, CONVERSATIONS = "/v1/responses", "/v1/conversations"
LOOK = {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}}
CALLS = '[{"content": "Let me see. "}, {"name": "look", "arguments": {"at": "the sky"}}]'
THOUGHTS = "<think>hm hm</think>Well"
SIZE = {"type": "object", "properties": {"size": {"const": 1}}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "size", "schema": SIZE}}
LOGPROBS = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
GENERATED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHATS, chat("Hello there")),
    "chat, several": (CHATS, chat("Hello there", n=3, max_tokens=1)),
    "chat, logprobs": (CHATS, chat("Hello there", logprobs=True, top_logprobs=2)),
    "chat, calls": (CHATS, chat(CALLS, tools=[{"type": "function", "function": LOOK}])),
    "chat, functions": (CHATS, chat(CALLS, functions=[LOOK])),
    "chat, custom": (CHATS, chat('{"name": "w", "input": "all"}', tools=[{"type": "custom", "custom": {"name": "w"}}])),
    "chat, thoughts": (CHATS, chat(THOUGHTS, reasoning_effort="high")),
    "chat, formatted": (CHATS, chat('{"size": 1}', response_format=FORMAT)),
    "chat, stored": (CHATS, chat("Hello there", store=True, metadata={"topic": "tests"}, user="anna")),
    "chat, usage": (CHATS, chat("Hello there", stream_options={"include_usage": True})),
    "chat, stopped": (CHATS, chat("Hello there", stop=["there"], seed=1, service_tier="flex")),
    "completion": (COMPLETIONS, completion("Hello there")),
    "completion, several": (COMPLETIONS, completion(["Hello", "there"], n=2)),  # type: ignore[arg-type]  # or texts
    "completion, logprobs": (COMPLETIONS, completion("Hello there", logprobs=2)),
    "completion, usage": (COMPLETIONS, completion("Hello there", stream_options={"include_usage": True})),
    "response": (RESPONSES, {"input": "Hello there"}),
    "response, cut": (RESPONSES, {"input": "one two three", "max_output_tokens": 2}),
    "response, calls": (
        RESPONSES,
        {"input": CALLS, "tools": [{"type": "function", **LOOK}, {"type": "custom", "name": "w"}]},
    ),
    "response, custom": (
        RESPONSES,
        {"input": '{"name": "w", "input": "all"}', "tools": [{"type": "custom", "name": "w"}]},
    ),
    "response, thoughts": (RESPONSES, {"input": THOUGHTS, "reasoning": {"effort": "high"}}),
    "response, summary": (RESPONSES, {"input": THOUGHTS, "reasoning": {"effort": "high", "summary": "auto"}}),
    "response, logprobs": (RESPONSES, {"input": "Hello there", **LOGPROBS}),
    "response, formatted": (
        RESPONSES,
        {"input": '{"size": 1}', "text": {"format": {"type": "json_schema", "name": "size", "schema": SIZE}}},
    ),
    "response, told": (
        RESPONSES,
        {
            "input": "Hello",
            "instructions": "Be brief.",
            "metadata": {"topic": "tests"},
            "user": "anna",
            "prompt_cache_key": "a",
            "safety_identifier": "b",
            "temperature": 0.5,
            "truncation": "auto",
        },
    ),
    "response, background": (RESPONSES, {"input": "Hello there", "background": True}),
}


@pytest.fixture(scope="module")
def ask(stack: Stack) -> Watched:
    return Watched(stack.http(), published(), Description(stack.http().get("/openapi.json").json(), closed=True))


@pytest.mark.parametrize("case", GENERATED)
def test_what_is_generated(ask: Watched, case: str) -> None:
    path, body = GENERATED[case]
    body = {"model": "echo", **body}
    if "stream_options" not in body:
        ask("POST", path, json=body)
    ask("POST", path, json={**body, "stream": True})


def test_a_stored_chat(ask: Watched) -> None:
    identity = ask("POST", CHATS, json=chat("Hello there", store=True))["id"]
    ask("GET", CHATS, params={"limit": 2})
    ask("GET", f"{CHATS}/{identity}")
    ask("POST", f"{CHATS}/{identity}", json={"metadata": {"topic": "tests"}})
    ask("GET", f"{CHATS}/{identity}/messages")
    ask("DELETE", f"{CHATS}/{identity}")
    ask("GET", f"{CHATS}/{identity}", status=404)


def test_a_stored_response(ask: Watched) -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Look."}]},
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "the sky"},
    ]
    body = {"model": "echo", "input": items, "store": True}
    identity = ask("POST", RESPONSES, json=body)["id"]
    path = f"{RESPONSES}/{identity}"
    ask("GET", path)
    ask("GET", path, params={"stream": "true"})
    ask("GET", f"{path}/input_items", params={"limit": 2})
    ask("POST", f"{RESPONSES}/input_tokens", json={"model": "echo", "input": items})
    ask("POST", f"{RESPONSES}/compact", json={"model": "echo", "input": items})
    ask("GET", f"{RESPONSES}/resp_none", status=404)
    later = ask("POST", RESPONSES, json={"model": "echo", "input": "on and " * 1000, "background": True})["id"]
    ask("GET", f"{RESPONSES}/{later}")
    ask("POST", f"{RESPONSES}/{later}/cancel")
    ask("GET", f"{RESPONSES}/{later}")


def test_a_conversation(ask: Watched) -> None:
    items = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": "I do."},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "the sky"},
        {"type": "custom_tool_call", "call_id": "call_2", "name": "write", "input": "all"},
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "done"},
    ]
    identity = ask("POST", CONVERSATIONS, json={"items": items})["id"]
    path = f"{CONVERSATIONS}/{identity}"
    ask("GET", path)
    ask("POST", path, json={"metadata": {"topic": "tests"}})
    ask("POST", RESPONSES, json={"model": "echo", "input": "Hello there", "conversation": identity})
    added = ask("POST", f"{path}/items", json={"items": items})
    ask("GET", f"{path}/items", params={"limit": 20})
    for item in added["data"]:
        ask("GET", f"{path}/items/{item['id']}")
    ask("DELETE", f"{path}/items/{item['id']}")
    ask("DELETE", path)
    ask("GET", path, status=404)


def test_files_and_uploads(ask: Watched) -> None:
    form: dict[str, Any] = {"files": {"file": ("a.txt", b"some text")}, "data": {"purpose": "user_data"}}
    identity = ask("POST", "/v1/files", **form)["id"]
    ask("GET", "/v1/files", params={"limit": 2})
    ask("GET", f"/v1/files/{identity}")
    ask("DELETE", f"/v1/files/{identity}")
    ask("GET", f"/v1/files/{identity}", status=404)
    body = {"bytes": 4, "filename": "a.txt", "mime_type": "text/plain", "purpose": "user_data"}
    upload = ask("POST", "/v1/uploads", json=body)["id"]
    part = ask("POST", f"/v1/uploads/{upload}/parts", files={"data": b"text"})["id"]
    done = ask("POST", f"/v1/uploads/{upload}/complete", json={"part_ids": [part]})
    ask("DELETE", f"/v1/files/{done['file']['id']}")
    ask("POST", f"/v1/uploads/{ask('POST', '/v1/uploads', json=body)['id']}/cancel")


def test_a_batch(ask: Watched) -> None:
    patient = chat("a", model="none")  # for which it waits a while
    line = {"custom_id": "a", "method": "POST", "url": CHATS, "body": patient}
    form: dict[str, Any] = {"files": {"file": ("a.jsonl", json.dumps(line).encode())}, "data": {"purpose": "batch"}}
    asked = {"input_file_id": ask("POST", "/v1/files", **form)["id"], "endpoint": CHATS, "completion_window": "24h"}
    identity = ask("POST", "/v1/batches", json={**asked, "metadata": {"topic": "tests"}})["id"]
    ask("GET", "/v1/batches", params={"limit": 2})
    ask("GET", f"/v1/batches/{identity}")
    ask("POST", f"/v1/batches/{identity}/cancel")
    ask("GET", "/v1/batches/batch_none", status=404)


def test_models_and_embeddings(ask: Watched) -> None:
    ask("GET", "/v1/models")
    ask("GET", "/v1/models/echo")
    ask("GET", "/v1/models/none", status=404)
    for more in ({"input": "a"}, {"input": ["a", "b"]}, {"input": "a", "encoding_format": "base64"}):
        ask("POST", "/v1/embeddings", json={"model": "echo", **more})
    asked = {
        CHATS: chat("a"),
        COMPLETIONS: completion("a"),
        RESPONSES: {"input": "a"},
        "/v1/embeddings": {"input": "a"},
    }
    for path, body in asked.items():
        ask("POST", path, status=400, json={})
        ask("POST", path, status=404, json={**body, "model": "none"})


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        ({"object": "chat"}, "object"),
        ({"choices": [{"index": 0}]}, "choices.0"),
        ({"created": "now"}, "created"),
        ({"usage": {"prompt_tokens": 1}}, "usage"),
    ],
)
def test_what_is_otherwise_is_found(ask: Watched, spoil: dict[str, Any], found: str) -> None:
    answer = ask.http.post(CHATS, json=chat("a"))
    spoiled = httpx.Response(200, json=answer.json() | spoil, request=answer.request)
    faults = published().faults(spoiled)
    assert [each.partition(": ")[0] for each in faults] == [found] * len(faults) != []
