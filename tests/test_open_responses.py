"""Open Responses: what its suite asks of a server, and all that is told in the types that are made of its description.

The description knows no custom tools, names the events of thoughts otherwise than OpenAI and its clients do, and has
`null` for the schema of an answer, which OpenAI repeats.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import httpx2 as httpx
import openresponses_types.types as described
import pytest
from pydantic import BaseModel, ValidationError

from tests.stack import Stack

EVENTS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {
        value.value: kind
        for name, kind in vars(described).items()
        if name.endswith("StreamingEvent")
        for value in kind.model_fields["type"].annotation
    }
)
"""The description's events by their names."""
NAMED_BY_OPENAI = {f"response.reasoning_text.{end}": f"response.reasoning.{end}" for end in ("delta", "done")}
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a place.",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
}
CALL = '[{"content": "I look. "}, {"name": "get_weather", "arguments": {"location": "Oslo, Norway"}}]'
HEART = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mP8/x8AAwMCAO+ip1sAAAAASUVORK5CYII="
)


def said(text: Any, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": text, **more}


SYSTEM = [said("Speak as sailors do.", "system"), said("Say hello.")]
TURNS = [said("I am Alice."), said("Hello Alice.", "assistant"), said("Who am I?")]
PHASES = [
    said("I look for the number.", "assistant", phase="commentary"),
    said("It is four.", "assistant", phase="final_answer"),
    said("The number alone."),
]
THOUGHTS = "<think>First this. Then that.</think>Done."
JSON = {"type": "json_schema", "name": "size", "schema": {"type": "object", "properties": {"size": {"const": 1}}}}
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "text": ({"input": [said("Say hello.")]}, ["message"]),
    "string": ({"input": "Say hello.", "instructions": "Be brief.", "metadata": {"topic": "words"}}, ["message"]),
    "system prompt": ({"input": SYSTEM}, ["message"]),
    "several turns": ({"input": TURNS}, ["message"]),
    "phases": ({"input": PHASES}, ["message"]),
    "calls": ({"input": CALL, "tools": [WEATHER]}, ["message", "function_call"]),
    "one call": (
        {"input": CALL, "tools": [WEATHER], "tool_choice": {"type": "function", "name": "get_weather"}},
        ["message", "function_call"],
    ),
    "allowed calls": (
        {
            "input": CALL,
            "tools": [WEATHER],
            "tool_choice": {
                "type": "allowed_tools",
                "mode": "auto",
                "tools": [{"type": "function", "name": "get_weather"}],
            },
        },
        ["message", "function_call"],
    ),
    "thoughts": ({"input": THOUGHTS, "reasoning": {"effort": "high"}}, ["reasoning", "message"]),
    "summary": ({"input": THOUGHTS, "reasoning": {"effort": "low", "summary": "auto"}}, ["reasoning", "message"]),
    "JSON": ({"input": '{"size": 1}', "text": {"format": JSON}}, ["message"]),
    "log probabilities": (
        {"input": "one two", "include": ["message.output_text.logprobs"], "top_logprobs": 2},
        ["message"],
    ),
    "cut": ({"input": "one two three " * 8, "max_output_tokens": 16}, ["message"]),
}


def keep(kind: type[BaseModel], told: Any) -> None:
    """See that what was told is of this type: nothing is turned into what it should be."""
    kind.model_validate_json(json.dumps(told), strict=True)


def without_schema(told: dict[str, Any]) -> dict[str, Any]:
    """A response as the description has it."""
    form = told["text"]["format"]
    if form["type"] != "json_schema":
        return told
    assert form["schema"] == JSON["schema"]
    return {**told, "text": {**told["text"], "format": {**form, "schema": None}}}


def keep_response(told: dict[str, Any]) -> None:
    keep(described.ResponseResource, without_schema(told))


def keep_event(told: dict[str, Any]) -> None:
    name = NAMED_BY_OPENAI.get(told["type"], told["type"])
    if "response" in told:
        told = {**told, "response": without_schema(told["response"])}
    keep(EVENTS[name], {**told, "type": name})


def events_of(url: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    with httpx.stream("POST", f"{url}/v1/responses", json={**body, "stream": True}, timeout=60) as answer:
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
        return [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line.startswith("data: ")]


@pytest.mark.parametrize("case", CASES)
def test_the_description_has_what_is_told(echo: Stack, case: str) -> None:
    more, kinds = CASES[case]
    body = {"model": "echo", **more}
    keep(described.CreateResponseBody, body)
    status = "incomplete" if case == "cut" else "completed"
    answer = httpx.post(f"{echo.url}/v1/responses", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    whole = answer.json()
    keep_response(whole)
    assert (whole["status"], [item["type"] for item in whole["output"]]) == (status, kinds)
    events = events_of(echo.url, body)
    for event in events:
        keep_event(event)
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1]["type"] == f"response.{status}"
    last = events[-1]["response"]
    assert [item["type"] for item in last["output"]] == kinds
    for kind in kinds:
        told = [event["type"] for event in events if event.get("item", {}).get("type") == kind]
        assert told == ["response.output_item.added", "response.output_item.done"]
    stored = httpx.get(f"{echo.url}/v1/responses/{last['id']}").json()
    keep_response(stored)
    assert stored == last


def test_the_description_has_what_waits_and_what_was_cancelled(echo: Stack) -> None:
    body = {"model": "echo", "input": "one two", "background": True}
    begun = httpx.post(f"{echo.url}/v1/responses", json=body).json()
    keep(described.ResponseResource, begun)
    ended = httpx.post(f"{echo.url}/v1/responses/{begun['id']}/cancel").json()
    keep(described.ResponseResource, ended)
    assert (begun["status"], ended["status"] in ("cancelled", "completed")) == ("queued", True)
    for event in events_of(echo.url, body):
        keep_event(event)


def test_a_result_continues_what_called(echo: Stack) -> None:
    asked = {"model": "echo", "input": CALL, "tools": [WEATHER]}
    first = httpx.post(f"{echo.url}/v1/responses", json=asked).json()
    call = first["output"][-1]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "cold in Oslo"}
    for more in ({"input": [result], "previous_response_id": first["id"]}, {"input": [said(CALL), call, result]}):
        keep(described.CreateResponseBody, {**asked, **more})
        answer = httpx.post(f"{echo.url}/v1/responses", json={**asked, **more}).json()
        keep(described.ResponseResource, answer)
        assert answer["output"][0]["content"][0]["text"] == "cold in Oslo"


@pytest.mark.parametrize(
    ("body", "status", "names"),
    [
        ({"input": [said([{"type": "input_image", "image_url": HEART}])], "model": "echo"}, 400, "input[0].content[0]"),
        ({"input": "Hello"}, 400, "model"),
        ({"input": "Hello", "model": "nobody"}, 404, "model"),
        ({"input": "Hello", "model": "echo", "previous_response_id": "resp_missing"}, 400, "previous_response_id"),
    ],
    ids=["image", "no model", "missing model", "missing response"],
)
def test_what_is_refused_says_why(echo: Stack, body: dict[str, Any], status: int, names: str) -> None:
    answer = httpx.post(f"{echo.url}/v1/responses", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["param"].startswith(names)) == (
        status,
        "invalid_request_error",
        True,
    )
    assert error["message"]


def test_what_the_description_has_not_is_seen(echo: Stack) -> None:
    """The types notice what is missing, or is of another kind."""
    events = events_of(echo.url, {"model": "echo", "input": CALL, "tools": [WEATHER]})
    told: list[tuple[Any, type[BaseModel]]] = [(event, EVENTS[event["type"]]) for event in events]
    told.append((events[-1]["response"], described.ResponseResource))
    seen = 0
    for whole, kind in told:
        for name, field in kind.model_fields.items():
            if field.is_required() and field.annotation is not Any:
                wrong: list[dict[str, Any]] = [
                    {key: whole[key] for key in whole if key != name},
                    {**whole, name: [None]},
                ]
                for each in wrong:
                    with pytest.raises(ValidationError):
                        keep(kind, each)
                    seen += 1
    assert seen > 100
