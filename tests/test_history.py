"""What clients store of a conversation and send back, through the gateway."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import pytest
from openai import OpenAI

from tests.calls import CHATS, chat, problem, said


def test_an_answer_is_sent_back_as_it_came(client: OpenAI) -> None:
    first = client.chat.completions.create(model="echo", messages=said("Hello")).choices[0].message
    turns: list[Any] = [first, first.model_dump(), first.to_dict(), {**first.model_dump(), "content": None}]
    for turn in turns:
        again = client.chat.completions.create(model="echo", messages=[*said("Hello"), turn, *said("And now?")])
        assert again.choices[0].message.content == "And now?"


STORED: list[dict[str, Any]] = [
    {"reasoning_content": "I think …", "reasoning": "I think …", "reasoning_details": [{"type": "reasoning.text"}]},
    {"thinking_blocks": [{"type": "thinking", "thinking": "…", "signature": "…"}], "provider_specific_fields": {}},
    {"id": "msg_1", "status": "completed", "phase": "final_answer", "metadata": {"a": {}}, "created_at": 1.5},
    {"function_call": None, "tool_calls": None, "refusal": None, "audio": None, "annotations": [{"type": "x"}]},
    {"name": "", "cache_control": {"type": "ephemeral"}, "tool_calls": [], "unheard of": [[[]]]},
]
"""What LiteLLM, OpenRouter's clients, Zed, Copilot and others leave in a turn."""


@pytest.mark.parametrize("more", STORED, ids=lambda more: next(iter(more)))
def test_what_others_put_into_turns_is_ignored(http: httpx.Client, more: dict[str, Any]) -> None:
    last = {"role": "user", "content": [{"type": "text", "text": "And now?", "cache_control": {}, **more}], **more}
    turns = [*said("Hello"), {"role": "assistant", "content": "Hello", **more}, last]
    answer = http.post(CHATS, json=chat("", messages=turns))
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "And now?"
    assert answer.json()["usage"]["prompt_tokens"] == 4
    assert "x-inferq-ignored" not in answer.headers


CALLS: list[dict[str, Any]] = [
    {"tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
    {"tool_calls": [{"id": "call_1", "type": "custom", "custom": {"name": "f", "input": "x"}}]},
    {"function_call": {"name": "f", "arguments": "{}"}},
]


@pytest.mark.parametrize("call", CALLS, ids=["function", "custom", "legacy"])
def test_calls_and_results_are_sent_back(http: httpx.Client, call: dict[str, Any]) -> None:
    """To a model that is offered no tools any more."""
    told = {"role": "function", "name": "f"} if "function_call" in call else {"role": "tool", "tool_call_id": "call_1"}
    turns = [*said("How many?"), {"role": "assistant", "content": None, **call}, {**told, "content": "Four it is"}]
    answer = http.post(CHATS, json=chat("", messages=turns))
    assert answer.json()["choices"][0]["message"]["content"] == "Four it is", answer.text
    error = problem(http.post(CHATS, json=chat("", messages=turns[::2])), 400)
    assert error["param"] == ("messages[1].name" if "name" in told else "messages[1].tool_call_id")
