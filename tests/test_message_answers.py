"""Answers in Anthropic's words, whole and as they come, as its unmodified client reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message, MessageParam, ToolParam
from anthropic.types.parsed_message import ParsedMessage
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.schemas import FORMATS, PAUSE
from gateway.schemas.openai import encode
from shared.protocol import (
    Accepted,
    Call,
    Chat,
    Delta,
    Done,
    Event,
    Failed,
    FinishReason,
    Options,
    Progress,
    Sampling,
    StartOver,
    Usage,
)
from tests.stack import Stack

MESSAGES = FORMATS["anthropic.messages"]
HEAD = Accepted(Chat("m", (), Sampling(seed=1)), created=1_700_000_000, request_id="req_1")
LOOK: ToolParam = {
    "name": "look",
    "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
}
CALL = '{"name": "look", "arguments": {"at": "the blue sky"}}'
THINK = {"type": "enabled", "budget_tokens": 1024}
LOOKS = 'look{"at": "the blue sky"}'
BETWEEN = f'[{{"content": "Let me see. "}}, {CALL}, {{"content": "And there. "}}, {CALL}]'


def said(text: str) -> list[MessageParam]:
    return [{"role": "user", "content": text}]


def whole(events: Iterable[Event], head: Accepted = HEAD) -> Message:
    """The answer, as strictly as the client can."""
    return Message.model_validate(json.loads(encode(MESSAGES.render("msg_1", head, events))), strict=True)


def frames(events: Iterable[Event], options: Options = HEAD.options) -> list[dict[str, Any]]:
    """The data of a stream, each under the name of its type."""
    made = MESSAGES.render_frames("msg_1", HEAD, options)
    told = [frame for event in events for frame in made(event)]
    found = [json.loads(frame.data) for frame in told]
    assert [frame.name for frame in told] == [each["type"] for each in found]
    return found


def folded(stream: Iterable[dict[str, Any]]) -> Message:
    """What the client makes of a stream."""
    snapshot: ParsedMessage[Any] | None = None
    buffers: dict[int, bytes] = {}
    for each in stream:
        if each["type"] != "ping":
            event: Any = each
            snapshot = accumulate_event(event=event, current_snapshot=snapshot, json_bufs=buffers)
    assert snapshot is not None
    return Message.model_validate(snapshot.to_dict(), strict=False)


characters = st.characters(codec="utf-8")
texts = st.text(characters, min_size=1, max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
arguments = st.builds(json.dumps, st.dictionaries(texts, values, max_size=3), ensure_ascii=st.booleans())
ends = st.sampled_from([("stop", ""), ("stop", "STOP"), ("length", ""), ("tool_calls", "")])


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """An answer of texts, thoughts and calls, cut into pieces anywhere, the last of which may be missing."""
    told = draw(st.lists(st.sampled_from(["text", "thoughts", "call"]), max_size=5))
    pieces = list[Delta]()
    for place, kind in enumerate(told):
        text = draw(arguments) if kind == "call" else draw(texts)
        if place == len(told) - 1:
            text = text[: draw(st.integers(0, len(text)))]
        call = Call(place, "look") if kind == "call" else None
        marks = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
        cuts = zip([0, *marks], [*marks, len(text)], strict=True)
        pieces += [Delta(text[begin:end], (1,), reasoning=kind == "thoughts", call=call) for begin, end in cuts]
    reason, stop = draw(ends)
    finish: FinishReason = reason  # type: ignore[assignment]  # of which there are these
    used = Usage(draw(st.integers(5, 9)), len(pieces), draw(st.integers(0, 5)), draw(st.integers(0, 3)))
    progress = draw(st.sampled_from([[], [Progress(1, used.prompt_tokens)]]))
    return [*progress, *pieces, Delta(finish_reason=finish, stop=stop), Done(used)]


@settings(max_examples=200)
@given(answers(), st.booleans(), st.data())
def test_a_stream_is_the_same_as_a_whole_answer(events: list[Event], hides: bool, data: st.DataObject) -> None:
    options = Options(hides_reasoning=hides)
    quiet = data.draw(st.integers(0, len(events) - 1))
    stream = frames([*events[:quiet], PAUSE, *events[quiet:]], options)
    answer = whole(events, Accepted(HEAD.task, HEAD.created, options=options))
    started = [each["index"] for each in stream if each["type"] == "content_block_start"]
    stopped = [each["index"] for each in stream if each["type"] == "content_block_stop"]
    assert started == stopped == list(range(len(answer.content)))
    assert folded(stream).to_dict() == answer.to_dict()
    assert not (hides and any(block.type == "thinking" for block in answer.content))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("", {}),
        ('{"at": "the blue sky"}', {"at": "the blue sky"}),
        ('{"at": ["a", {"b": 1, "c": "the bl', {"at": ["a", {"b": 1}]}),
        ('{"at"', {}),
        ('{"at": "\\', {}),
        ("[1]", {"INVALID_JSON": "[1]"}),
        ("the sky", {"INVALID_JSON": "the sky"}),
        ("[" * 100_000, {"INVALID_JSON": "[" * 100_000}),
        ('{"at": ' * 100_000, {"INVALID_JSON": '{"at": ' * 100_000}),
        ('{"at": "' + "x" * 1_000_000, {}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_input_is_an_object_whatever_the_model_has_written(text: str, read: dict[str, Any]) -> None:
    events: list[Event] = [Delta(text, call=Call(0, "look")), Delta(finish_reason="length"), Done(Usage(1, 1))]
    [block] = whole(events).content
    assert block.type == "tool_use"
    assert block.input == read


def test_what_began_anew_is_told_once() -> None:
    events: list[Event] = [Delta("lost"), StartOver(), Delta("kept"), Delta(finish_reason="stop"), Done(Usage(1, 1))]
    assert [block.to_dict() for block in whole(events).content] == [{"type": "text", "text": "kept", "citations": []}]


def test_tokens_of_a_cache_are_counted_apart() -> None:
    events: list[Event] = [Progress(2, 9), Delta("a", (1,)), Delta(finish_reason="stop"), Done(Usage(9, 2, 4, 1))]
    used = whole(events).usage
    assert (used.input_tokens, used.cache_read_input_tokens, used.cache_creation_input_tokens) == (5, 4, 0)
    assert (used.output_tokens, used.output_tokens_details and used.output_tokens_details.thinking_tokens) == (2, 1)
    begun, *_, delta, _ = frames(events)
    assert begun["message"]["usage"]["input_tokens"] == 9, "of which it is not known yet where they come from"
    assert frames([Delta("a", (1,), prompt_size=9)])[0] == begun, "no progress is told of a short one"
    assert delta["usage"] == {
        key: value for key, value in used.to_dict().items() if value is not None and key != "service_tier"
    }


def test_a_silent_stream_begins_and_then_pings() -> None:
    failed = Failed("engine_error", "It broke.", "stop")
    told = frames([PAUSE, PAUSE, Delta("a"), PAUSE, failed])
    kinds = [each["type"] for each in told]
    assert kinds == [
        *("message_start", "ping", "ping", "content_block_start", "content_block_delta", "ping", "error"),
    ]
    assert told[-1] == {
        "type": "error",
        "error": {
            "type": "api_error",
            "message": "stop_sequences: It broke.",
            "details": {"error_code": "engine_error"},
        },
        "request_id": "req_1",
    }


def tell(block: dict[str, Any]) -> str:
    """What a block says."""
    match block["type"]:
        case "thinking":
            assert block["signature"]
            return f"({block['thinking']})"
        case "tool_use":
            assert block["id"].startswith("toolu_")
            return f"{block['name']}{json.dumps(block['input'])}"
    return str(block["text"])


class TestByTheClient:
    @pytest.mark.parametrize(
        ("text", "more", "blocks", "ending"),
        [
            ("Hello there", {}, ["Hello there"], ("end_turn", None)),
            ("one two STOP three", {"stop_sequences": ["x", "STOP"]}, ["one two "], ("stop_sequence", "STOP")),
            ("", {}, [], ("end_turn", None)),
            ("one two three", {"max_tokens": 2}, ["one two"], ("max_tokens", None)),
            ("<think>hm hm</think>Well", {"thinking": THINK}, ["(hm hm)", "Well"], ("end_turn", None)),
            ("Well", {"thinking": {"type": "disabled"}}, ["Well"], ("end_turn", None)),
            (BETWEEN, {"tools": [LOOK]}, ["Let me see. ", LOOKS, "And there. ", LOOKS], ("tool_use", None)),
            (CALL, {"tools": [LOOK], "max_tokens": 3}, ["look{}"], ("max_tokens", None)),
        ],
        ids=["text", "stopped", "nothing", "cut", "thoughts", "no thoughts", "between calls", "a call that is cut"],
    )
    def test_what_is_said(
        self, echo: Stack, text: str, more: dict[str, Any], blocks: list[str], ending: tuple[str, str | None]
    ) -> None:
        client = echo.anthropic(_strict_response_validation=True)
        asked: dict[str, Any] = {"model": "echo", "max_tokens": 2000, "messages": said(text), **more}
        answer = client.messages.create(**asked)
        with client.messages.stream(**asked) as stream:
            heard = "".join(stream.text_stream)
            streamed = stream.get_final_message()
        for message in (answer, streamed):
            assert (message.stop_reason, message.stop_sequence) == ending
            assert message.id.startswith("msg_")
            told = [tell(block.to_dict()) for block in message.content]
            assert told == blocks
        assert heard == "".join(block for block in blocks if block[-1:] not in ("}", ")"))
        assert answer.usage == streamed.usage
        assert (answer._request_id or "").startswith("req_")
