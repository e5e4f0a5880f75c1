"""Answers and chunks, as the OpenAI client reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from openai.types import Completion as OpenAICompletion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway.schemas import WireFormat
from shared.protocol import (
    Accepted,
    Chat,
    Completion,
    Delta,
    Done,
    Event,
    Message,
    Progress,
    Sampling,
    Usage,
)
from tests.parsing import CHAT, COMPLETION, USER, chat

ACCEPTED = Accepted(Chat("m", (Message("user", "Hi"),), Sampling(seed=1)), created=1_700_000_000)
ACCEPTED_TEXT = Accepted(Completion("m", ("Hi",), Sampling(seed=1)), created=1_700_000_000)
EVENTS: list[Event] = [
    Progress(1, 5),
    Delta("Hello", (1,)),
    Delta("", (2,)),
    Progress(5, 5),
    Delta(" there", (3,), finish_reason="length"),
    Done(Usage(5, 3, cached_tokens=2)),
]
USAGE = {
    "prompt_tokens": 5,
    "completion_tokens": 3,
    "total_tokens": 8,
    "prompt_tokens_details": {"cached_tokens": 2},
}
HEAD = {"id": "j", "created": 1_700_000_000, "model": "m", "service_tier": "default"}


def chunked(
    wire: WireFormat, accepted: Accepted, events: Iterable[Event], include_usage: bool
) -> Iterator[dict[str, Any]]:
    chunks = wire.render_chunks("j", accepted, include_usage)
    for event in events:
        yield from chunks(event)


def test_chat_answer() -> None:
    answer = CHAT.render("j", ACCEPTED, EVENTS)
    ChatCompletion.model_validate(answer, strict=True)
    assert answer == {
        **HEAD,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello there", "refusal": None},
                "logprobs": None,
                "finish_reason": "length",
            }
        ],
        "usage": USAGE,
    }


def test_completion_answer() -> None:
    answer = COMPLETION.render("j", ACCEPTED_TEXT, EVENTS)
    OpenAICompletion.model_validate(answer, strict=True)
    assert answer == {
        **HEAD,
        "object": "text_completion",
        "choices": [{"index": 0, "text": "Hello there", "logprobs": None, "finish_reason": "length"}],
        "usage": USAGE,
    }


@pytest.mark.parametrize("include_usage", [False, True])
def test_chat_chunks(include_usage: bool) -> None:
    chunks = list(chunked(CHAT, ACCEPTED, EVENTS, include_usage))
    head = {**HEAD, "object": "chat.completion.chunk"}
    tail: dict[str, Any] = {"usage": None} if include_usage else {}
    deltas: list[tuple[dict[str, str], str | None]] = [
        ({"role": "assistant", "content": ""}, None),
        ({"content": "Hello"}, None),
        ({"content": " there"}, None),
        ({}, "length"),
    ]
    expected: list[dict[str, Any]] = [
        {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}], **tail}
        for delta, reason in deltas
    ]
    if include_usage:
        expected.append({**head, "choices": [], "usage": USAGE})
    assert chunks == expected
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk, strict=True)


@pytest.mark.parametrize("include_usage", [False, True])
def test_completion_chunks(include_usage: bool) -> None:
    chunks = list(chunked(COMPLETION, ACCEPTED_TEXT, EVENTS, include_usage))
    head = {**HEAD, "object": "text_completion"}
    tail: dict[str, Any] = {"usage": None} if include_usage else {}
    expected: list[dict[str, Any]] = [
        {**head, "choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": reason}], **tail}
        for text, reason in (("Hello", None), (" there", "length"))
    ]
    if include_usage:
        expected.append({**head, "choices": [], "usage": USAGE})
    assert chunks == expected
    for chunk in chunks:
        # The SDK's type knows no chunk without a reason, though OpenAI sends them.
        whole = [{**choice, "finish_reason": choice["finish_reason"] or "stop"} for choice in chunk["choices"]]
        OpenAICompletion.model_validate({**chunk, "choices": whole}, strict=True)


def test_each_event_gives_its_own_chunks() -> None:
    chunks = CHAT.render_chunks("j", ACCEPTED, include_usage=False)
    assert list(chunks(Progress(1, 5))) == []
    first = [chunk["choices"][0]["delta"] for chunk in chunks(Delta("Hello"))]
    assert first == [{"role": "assistant", "content": ""}, {"content": "Hello"}]
    assert [chunk["choices"][0]["delta"] for chunk in chunks(Delta(" there"))] == [{"content": " there"}]


def test_an_empty_answer_is_an_answer() -> None:
    events: list[Event] = [Delta(finish_reason="stop"), Done(Usage(5, 0))]
    assert CHAT.render("j", ACCEPTED, events)["choices"][0]["message"]["content"] == ""
    assert [c["choices"][0]["delta"] for c in chunked(CHAT, ACCEPTED, events, False)] == [
        {"role": "assistant", "content": ""},
        {},
    ]
    assert [c["choices"][0]["finish_reason"] for c in chunked(COMPLETION, ACCEPTED_TEXT, events, False)] == ["stop"]


def test_choices_are_kept_apart() -> None:
    events: list[Event] = [
        Delta("a"),
        Delta("x", index=1),
        Delta("y", index=1, finish_reason="stop"),
        Delta("b", finish_reason="length"),
        Done(Usage(1, 4)),
    ]
    answer = ChatCompletion.model_validate(CHAT.render("j", ACCEPTED, events), strict=True)
    assert [(c.index, c.message.content, c.finish_reason) for c in answer.choices] == [
        (0, "ab", "length"),
        (1, "xy", "stop"),
    ]
    streamed = {0: "", 1: ""}
    for chunk in chunked(COMPLETION, ACCEPTED_TEXT, events, False):
        streamed[chunk["choices"][0]["index"]] += chunk["choices"][0]["text"]
    assert streamed == {0: "ab", 1: "xy"}


def test_an_answer_can_be_sent_back() -> None:
    answer = ChatCompletion.model_validate(CHAT.render("chatcmpl-1", ACCEPTED, EVENTS))
    message = answer.choices[0].message
    for sent in (message.model_dump(), message.model_dump(exclude_none=True)):
        assert chat(messages=[USER, sent])[0].messages[1] == Message("assistant", "Hello there")
    sent = {**message.model_dump(), "annotations": []}
    assert chat(messages=[sent])[0].messages == (Message("assistant", "Hello there"),)
