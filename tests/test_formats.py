"""Formats: whole answers and streams of frames, made from the same events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from types import MappingProxyType
from typing import Any

import pytest
from msgspec.structs import replace
from openai.types import Completion as OpenAICompletion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway import sse
from gateway.mailbox import Place
from gateway.schemas import FORMATS, Format, Frame, format_of, usual_format
from gateway.schemas.chat import ChatFormat
from shared.config import Config
from shared.errors import InferqError, NotUnderstood
from shared.protocol import (
    Accepted,
    Chat,
    Completion,
    Delta,
    Done,
    Event,
    Failed,
    Message,
    Options,
    Progress,
    Sampling,
    Usage,
)

CHAT, COMPLETION = FORMATS["openai.chat"], FORMATS["openai.completion"]
USER = {"role": "user", "content": "Hi"}
CHATTED, COMPLETED = Chat("m", (Message("user", "Hi"),), Sampling(seed=1)), Completion("m", ("Hi",), Sampling(seed=1))
ACCEPTED, ACCEPTED_TEXT = (Accepted(task, created=1_700_000_000) for task in (CHATTED, COMPLETED))
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
    "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 0},
    "completion_tokens_details": {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}
HEAD = {"id": "j", "created": 1_700_000_000, "model": "m", "service_tier": "default", "system_fingerprint": None}


def chunked(wire: Format, accepted: Accepted, events: Iterable[Event], include_usage: bool) -> Iterator[dict[str, Any]]:
    frames = wire.render_frames("j", accepted, Options(stream=True, include_usage=include_usage))
    *chunks, (done, _, counts) = (frame for event in events for frame in frames(event))
    assert (done, counts) == (b"[DONE]", False)
    for frame in chunks:
        assert (frame.name, frame.counts) == ("", True)
        yield json.loads(frame.data)


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
    frames = CHAT.render_frames("j", ACCEPTED, Options(stream=True))

    def deltas(event: Event) -> list[Any]:
        return [json.loads(frame.data)["choices"][0]["delta"] for frame in frames(event)]

    assert deltas(Progress(1, 5)) == []
    assert deltas(Delta("Hello")) == [{"role": "assistant", "content": ""}, {"content": "Hello"}]
    assert deltas(Delta(" there")) == [{"content": " there"}]


@pytest.mark.parametrize("text", ['"', "\\", "\0", "\u2028é😀", "\r\n", "}", '"\0"'])
@pytest.mark.parametrize("model", ["m", '\0"\0', "\\u0000"])
def test_any_text_fits_into_a_chunk(text: str, model: str) -> None:
    accepted = Accepted(replace(ACCEPTED_TEXT.task, model=model), created=1)
    [chunk] = chunked(COMPLETION, accepted, [Delta(text), Done(Usage(1, 1))], False)
    assert (chunk["model"], chunk["choices"][0]["text"], chunk["choices"][0]["index"]) == (model, text, 0)
    accepted = Accepted(replace(ACCEPTED.task, model=model), created=1)
    _, chunk = chunked(CHAT, accepted, [Delta(text), Done(Usage(1, 1))], False)
    assert (chunk["model"], chunk["choices"][0]["delta"]) == (model, {"content": text})


def test_a_failure_ends_a_stream_without_done() -> None:
    frames = CHAT.render_frames("j", ACCEPTED, Options(stream=True))
    [frame] = frames(Failed("cancelled", "It was cancelled.", "prompt"))
    assert json.loads(frame.data) == {
        "error": {
            "message": "It was cancelled.",
            "type": "invalid_request_error",
            "param": "prompt",
            "code": "cancelled",
        }
    }


class Asked(ChatFormat):
    """A format whose requests call the messages otherwise, and which has its own words for failures."""

    parameters = MappingProxyType({"messages": "input"})

    def render_failure(self, error: InferqError, status: int) -> dict[str, Any]:
        return {"about": error.param, "status": status}


@pytest.mark.parametrize(("field", "param"), [("messages", "input"), ("logit_bias", "logit_bias"), (None, None)])
def test_a_failure_names_the_parameter_as_its_request_does(field: str | None, param: str | None) -> None:
    frames = Asked().render_frames("j", ACCEPTED, Options(stream=True))
    [frame] = frames(Failed("context_length_exceeded", "It is too long.", field))
    assert json.loads(frame.data) == {"about": param, "status": 400}


def test_ids_tell_formats_apart() -> None:
    assert len({wire.id_prefix for wire in FORMATS.values()}) == len(FORMATS)


def test_a_job_is_answered_in_its_format() -> None:
    for wire in FORMATS.values():
        assert format_of(replace(ACCEPTED, format=wire.name)) is wire
    assert format_of(ACCEPTED) is usual_format(CHATTED) is CHAT
    assert format_of(ACCEPTED_TEXT) is usual_format(COMPLETED) is COMPLETION
    with pytest.raises(NotUnderstood):
        format_of(replace(ACCEPTED, format="smoke-signals"))


def test_frames_may_have_names() -> None:
    def frames(event: Event) -> list[Frame]:
        return [Frame(b"1", "piece"), Frame(b"2"), Frame(b"3", "end", counts=False)]

    named = [b"event: piece\ndata: 1\n\n", b"data: 2\n\n", b"event: end\ndata: 3\n\n"]
    assert list(sse.plain_lines(frames)(Delta("x"))) == named
    numbered = sse.numbered_lines(frames, None, lambda: Place(7, "0123456789"))
    assert list(numbered(Delta("x"))) == [b"id: 7.1-01234567\n" + named[0], b"id: 7-01234567\n" + named[1], named[2]]


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
    def messages(*sent: object) -> tuple[Message, ...]:
        task, _ = CHAT.parse({"model": "m", "messages": list(sent)}, 7, Config())
        assert isinstance(task, Chat)
        return task.messages

    answer = ChatCompletion.model_validate(CHAT.render("chatcmpl-1", ACCEPTED, EVENTS))
    message = answer.choices[0].message
    for sent in (message.model_dump(), message.model_dump(exclude_none=True)):
        assert messages(USER, sent)[1] == Message("assistant", "Hello there")
    assert messages({**message.model_dump(), "annotations": []}) == (Message("assistant", "Hello there"),)
