"""Sampling beyond OpenAI's, by the unmodified client, on the real model alone on a worker of one slot."""

from __future__ import annotations

from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from tests.stack import Stack

QUESTION: Any = [{"role": "user", "content": "What is the capital city of France? Answer in one word."}]


@pytest.fixture(scope="module")
def client(smollm2: Stack) -> OpenAI:
    return smollm2.client()


def chat(client: OpenAI, *, stream: bool = False, max_tokens: int = 40, n: int = 1, **beyond: Any) -> Any:
    return client.chat.completions.create(
        model="smollm2",
        messages=QUESTION,
        temperature=0,
        max_tokens=max_tokens,
        n=n,
        stream=stream,
        extra_body={"return_token_ids": True, **beyond},
    )


def test_an_answer_has_at_least_so_many_tokens_and_begins_as_it_would(client: OpenAI) -> None:
    short, long = chat(client), chat(client, min_tokens=30)
    assert short.choices[0].finish_reason == "stop"
    assert short.usage.completion_tokens < 30 <= long.usage.completion_tokens
    ids = short.choices[0].token_ids[:-1]  # all but the end
    assert long.choices[0].token_ids[: len(ids)] == ids
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chat(client, stream=True, min_tokens=30))
    assert text == long.choices[0].message.content
    both = chat(client, n=2, min_tokens=30)
    assert [choice.message.content for choice in both.choices] == [text, text]


def test_a_stop_token_ends_it(client: OpenAI) -> None:
    whole = chat(client, min_tokens=12)
    ids = whole.choices[0].token_ids
    at = next(at for at in range(4, 12) if ids[at] not in ids[:at])
    cut = chat(client, min_tokens=at, stop_token_ids=[ids[at]])
    assert (cut.choices[0].finish_reason, cut.usage.completion_tokens) == ("stop", at + 1)
    assert cut.choices[0].token_ids == ids[: at + 1]
    assert whole.choices[0].message.content.startswith(cut.choices[0].message.content)
    later = chat(client, min_tokens=20, stop_token_ids=[ids[at]])
    assert ids[at] not in later.choices[0].token_ids[:20]


def test_other_names_and_no_limit(client: OpenAI) -> None:
    strict = chat(client, min_tokens=40, repetition_penalty=5).choices[0].message.content
    assert strict == chat(client, min_tokens=40, repeat_penalty=5).choices[0].message.content
    assert strict != chat(client, min_tokens=40).choices[0].message.content
    assert chat(client, max_tokens=-1, top_k=-1).choices[0].finish_reason == "stop"
    with pytest.raises(BadRequestError, match="another name of 'repeat_penalty'") as refusal:
        chat(client, repetition_penalty=2, repeat_penalty=3)
    assert refusal.value.param == "repetition_penalty"
