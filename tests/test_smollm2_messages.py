"""Anthropic's requests to the real model, alone on a worker of one slot."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from tests.stack import Stack

SYSTEM = "You answer in one word."
QUESTION: Any = [{"role": "user", "content": "What is the capital city of France?"}]
WEATHER: Any = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
    },
}
USED: Any = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}}
RESULT: Any = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "Sunny, 20 degrees"}
LOOKED: Any = [*QUESTION, {"role": "assistant", "content": [USED]}, {"role": "user", "content": [RESULT]}]


@pytest.fixture(scope="module")
def client(smollm2: Stack) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=f"http://127.0.0.1:{smollm2.port}", api_key="any", max_retries=0)


def ask(
    client: anthropic.Anthropic, messages: Any = QUESTION, max_tokens: int = 20, **more: Any
) -> anthropic.types.Message:
    greedy = {"temperature": 0}  # which newer clients do not name
    answer: Any = client.messages.create(
        model="smollm2", max_tokens=max_tokens, messages=messages, extra_body=greedy, **more
    )
    assert isinstance(answer, anthropic.types.Message)
    return answer


def said(answer: anthropic.types.Message) -> str:
    [block] = answer.content
    assert block.type == "text"
    return block.text


def test_it_is_the_conversation_that_openais_words_tell(client: anthropic.Anthropic, smollm2: Stack) -> None:
    answer = ask(client, system=SYSTEM)
    told: Any = [{"role": "system", "content": SYSTEM}, *QUESTION]
    same = smollm2.client().chat.completions.create(model="smollm2", max_tokens=20, temperature=0, messages=told)
    assert said(answer) == same.choices[0].message.content
    assert same.usage
    assert answer.usage.output_tokens == same.usage.completion_tokens


def test_an_answer_that_is_begun_goes_on(client: anthropic.Anthropic) -> None:
    whole = said(ask(client))
    begin = whole[: len(whole) // 2].rpartition(" ")[0]
    assert begin
    assert (begin + said(ask(client, [*QUESTION, {"role": "assistant", "content": begin}]))).startswith(whole)


@pytest.mark.parametrize(
    "given",
    [
        {"messages": QUESTION, "system": SYSTEM},
        {"messages": LOOKED, "tools": [WEATHER]},
        {"messages": [*QUESTION, {"role": "assistant", "content": "It is"}]},
    ],
    ids=["system", "tools", "begun"],
)
def test_its_tokens_are_counted_as_it_reads_them(client: anthropic.Anthropic, given: Any) -> None:
    used = ask(client, max_tokens=1, **given).usage
    counted = client.messages.count_tokens(model="smollm2", **given).input_tokens
    assert counted == used.input_tokens + (used.cache_read_input_tokens or 0)
    asked: Any = {"model": "smollm2", "max_tokens": 1, **given}
    with client.messages.stream(**asked) as stream:
        begun = next(iter(stream))
    assert begun.type == "message_start"
    assert begun.message.usage.input_tokens == counted, "also of a short one, and of one that is cached"


def test_a_tool_that_must_be_called_is_called(client: anthropic.Anthropic) -> None:
    answer = ask(client, max_tokens=100, tools=[WEATHER], tool_choice={"type": "tool", "name": "get_weather"})
    [call] = answer.content
    assert call.type == "tool_use"
    assert isinstance(call.input["city"], str)
    assert answer.stop_reason == "tool_use"
