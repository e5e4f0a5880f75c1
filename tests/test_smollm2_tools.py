"""Tools with the real model, whose template knows none, alone on a worker of one slot."""

from __future__ import annotations

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # there are no types of it
import pytest
from openai import OpenAI

from tests.stack import Stack

WEATHER: Any = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 20},
        "days": {"type": "integer", "minimum": 1, "maximum": 7},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
}
MAIL: Any = {"type": "object", "properties": {"to": {"type": "string", "maxLength": 12}, "urgent": {"type": "boolean"}}}
SCHEMAS = {"get_weather": WEATHER, "send_mail": MAIL}
TOOLS: Any = [
    {"type": "function", "function": {"name": "get_weather", "strict": True, "parameters": WEATHER}},
    {"type": "function", "function": {"name": "send_mail", "parameters": MAIL}},
]
NAMED: Any = {"type": "function", "function": {"name": "get_weather"}}
ASKED: Any = [{"role": "user", "content": "What is the weather in Paris?"}]
PLAIN: Any = [{"role": "user", "content": "What is the capital city of France? Answer in one word."}]


@pytest.fixture(scope="module")
def client(smollm2: Stack) -> OpenAI:
    return smollm2.client()


def ask(client: OpenAI, messages: Any = ASKED, **options: Any) -> Any:
    given = {"tools": TOOLS, "parallel_tool_calls": False, "max_tokens": 100, **options}
    return client.chat.completions.create(model="smollm2", messages=messages, **given).choices[0]


def check(choice: Any) -> list[str]:
    """The names that it calls, all of them rightly."""
    assert choice.finish_reason == "tool_calls"
    assert not choice.message.content
    for call in choice.message.tool_calls:
        jsonschema.validate(json.loads(call.function.arguments), SCHEMAS[call.function.name])
    return [call.function.name for call in choice.message.tool_calls]


def test_what_must_be_called_is_called_and_its_schema_is_kept_to(client: OpenAI) -> None:
    for seed in range(3):
        assert check(ask(client, tool_choice=NAMED, temperature=1, seed=seed)) == ["get_weather"]
        assert len(check(ask(client, tool_choice="required", temperature=1, seed=seed))) == 1


def test_a_question_that_needs_no_tool_is_answered_in_words(client: OpenAI) -> None:
    choice = ask(client, PLAIN, temperature=0, stop=["?"])
    assert (choice.finish_reason, choice.message.tool_calls) == ("stop", None)
    assert "Paris" in choice.message.content
    stopped = ask(client, PLAIN, temperature=0, stop=["Paris"])
    assert stopped.message.content == "The capital city of France is "
    form: Any = {"type": "json_schema", "json_schema": {"name": "c", "schema": {"enum": ["Paris", "Rome"]}}}
    assert ask(client, PLAIN, temperature=0, response_format=form).message.content == '"Paris"'


def test_a_loop_of_three_turns(client: OpenAI) -> None:
    messages = [*ASKED]
    for turn in range(3):
        choice = ask(client, messages, tool_choice="required", temperature=0, stop=["city", "{"])
        check(choice)
        messages.append(choice.message)
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": f"Sunny, {turn} degrees."}
            for call in choice.message.tool_calls
        ]
    last = ask(client, messages, tool_choice="none", temperature=0)
    assert last.message.tool_calls is None
    assert last.message.content


def test_a_stream_tells_the_same(client: OpenAI) -> None:
    for choice, messages, temperature in (("required", ASKED, 1), (NAMED, ASKED, 1), ("auto", PLAIN, 0)):
        options: Any = {"model": "smollm2", "messages": messages, "temperature": temperature, "seed": 3, "tools": TOOLS}
        options |= {"tool_choice": choice, "parallel_tool_calls": False, "max_tokens": 100}
        # A prompt that is read in one part has other rounding than one of which all but the end is known.
        client.chat.completions.create(**options | {"max_tokens": 1})
        whole = client.chat.completions.create(**options)
        with client.chat.completions.stream(stream_options={"include_usage": True}, **options) as stream:
            pieces = sum(event.type == "tool_calls.function.arguments.delta" for event in stream)
            streamed: Any = stream.get_final_completion()
        assert streamed.usage.completion_tokens == whole.usage.completion_tokens
        told, said = streamed.choices[0], whole.choices[0]
        assert told.finish_reason == said.finish_reason
        assert (told.message.content or "") == (said.message.content or "")
        calls = [
            [(call.function.name, call.function.arguments) for call in each.message.tool_calls or ()]
            for each in (told, said)
        ]
        assert calls[0] == calls[1]
        assert pieces >= 3 or choice == "auto"


def test_custom_tools_have_texts(client: OpenAI) -> None:
    number: Any = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "[0-9]{1,3}"}}
    tools = [{"type": "custom", "custom": {"name": "number", "description": "Takes a number", "format": number}}]
    choice = ask(client, tools=tools, tool_choice="required", temperature=1, seed=1)
    (call,) = choice.message.tool_calls
    assert (call.type, call.custom.name) == ("custom", "number")
    assert 0 <= int(call.custom.input) <= 999
