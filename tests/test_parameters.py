"""What each parameter does to an answer, or that it does nothing."""

from __future__ import annotations

from typing import Any

import httpx2 as httpx
import pytest
from openai import OpenAI

from tests.calls import CHATS, COMPLETIONS, chat, completion, said

SAMPLING = [
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
    "ignore_eos",
    "stream",
    "stream_options",
    "service_tier",
]


@pytest.mark.parametrize(
    "more",
    [
        *({"service_tier": tier} for tier in ("auto", "default", "priority", "flex")),
        dict.fromkeys((*SAMPLING, "n", "logit_bias")),
        {"temperature": 0.5, "top_p": 0.9, "top_k": 3, "min_p": 0.1, "typical_p": 1, "repeat_penalty": 1.1},
        {"presence_penalty": 1, "frequency_penalty": -1, "seed": -5, "ignore_eos": True, "stop": []},
    ],
    ids=lambda more: next(iter(more)) if len(more) == 1 else f"{next(iter(more))}_and_more",
)
def test_parameters_without_effect_on_an_echo(http: httpx.Client, more: dict[str, Any]) -> None:
    one = http.post(CHATS, json=chat("Hello there", **more))
    other = http.post(COMPLETIONS, json={**completion("Hello there"), **more})
    assert one.status_code == 200, one.text
    assert one.json()["choices"][0]["message"]["content"] == "Hello there"
    assert other.status_code == 200, other.text
    assert other.json()["choices"][0]["text"] == "Hello there"


def test_messages_of_all_roles_and_in_parts(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="echo",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "First", "name": "somebody"},
            {"role": "assistant", "content": "Answer"},
            {"role": "user", "content": [{"type": "text", "text": "Two"}, {"type": "text", "text": "parts"}]},
        ],
    )
    assert answer.choices[0].message.content == "Two\nparts"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 8


@pytest.mark.parametrize(
    ("more", "text", "reason"),
    [
        ({"stop": " three"}, "one two", "stop"),
        ({"stop": ["never", "two", "three"]}, "one ", "stop"),
        ({"max_tokens": 2}, "one two", "length"),
        ({"max_tokens": 4}, "one two three four", "stop"),
    ],
)
def test_where_an_answer_ends(client: OpenAI, more: dict[str, Any], text: str, reason: str) -> None:
    words = "one two three four"
    answer = client.chat.completions.create(model="echo", messages=said(words), **more).choices[0]
    assert (answer.message.content, answer.finish_reason) == (text, reason)
    part = client.completions.create(model="echo", prompt=words, **more).choices[0]
    assert (part.text, part.finish_reason) == (text, reason)
    *_, last = client.chat.completions.create(model="echo", messages=said(words), stream=True, **more)
    assert last.choices[0].finish_reason == reason


def test_limits_of_tokens(client: OpenAI) -> None:
    words = " ".join(["word"] * 20)
    part = client.completions.create(model="echo", prompt=words).choices[0]
    assert (len(part.text.split()), part.finish_reason) == (16, "length")  # OpenAI's default
    answer = client.chat.completions.create(model="echo", messages=said(words), max_tokens=9, max_completion_tokens=3)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3
