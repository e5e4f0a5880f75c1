"""Tools in a template's own form, through the whole path and the unmodified client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from tests.stack import Stack, running
from tests.templates.family import PLAIN, TEMPLATES
from tests.tiny import roomy

TOOLS: Any = [
    {"type": "function", "function": {"name": name, "parameters": PLAIN, "strict": strict}}
    for name, strict in (("weather", True), ("wait", False))
]
GIVEN: Any = {"model": "roomy", "tools": TOOLS, "max_tokens": 300, "temperature": 1, "top_p": 1}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("native")
    with running(folder) as stack:
        stack.start_gateway(processes=1)
        template = str(TEMPLATES / "mistralai-Mistral-Nemo-Instruct-2407.jinja")
        stack.start_worker(str(roomy(folder)), "--chat-format", template, slots=1, context=8192)
        yield stack


@pytest.fixture(scope="module")
def client(stack: Stack) -> OpenAI:
    return stack.client()


def test_a_loop_of_tools_streamed_or_not_is_the_same(client: OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "Weather?"}]
    for turn in range(3):
        asked = {**GIVEN, "messages": messages, "seed": turn, "tool_choice": "required", "parallel_tool_calls": False}
        whole = client.chat.completions.create(**asked)
        [choice] = whole.choices
        with client.chat.completions.stream(**{**asked, "stream_options": {"include_usage": True}}) as stream:
            streamed = stream.get_final_completion()
        assert choice.finish_reason == streamed.choices[0].finish_reason == "tool_calls"
        [call] = choice.message.tool_calls or []
        [same] = streamed.choices[0].message.tool_calls or []
        assert (call.function.name, call.function.arguments) == (same.function.name, same.function.arguments)
        assert whole.usage
        assert streamed.usage
        assert whole.usage.completion_tokens == streamed.usage.completion_tokens
        assert json.loads(call.function.arguments).keys() == set(PLAIN["required"])
        messages = [
            *messages,
            choice.message,
            {"role": "tool", "tool_call_id": call.id, "content": "bluish"},
        ]


def test_a_named_tool_is_called_by_each_of_several_answers(client: OpenAI) -> None:
    named: Any = {"type": "function", "function": {"name": "wait"}}
    messages: Any = [{"role": "user", "content": "Weather?"}]
    answer = client.chat.completions.create(**GIVEN, messages=messages, n=2, seed=5, tool_choice=named)
    for choice in answer.choices:
        assert {call.function.name for call in choice.message.tool_calls or []} == {"wait"}
        assert not choice.message.content
