"""Answers in the words of OpenAI's Responses, whole and as they come, as its unmodified client reads them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any, cast

import pytest
from flask import Flask, Response, g
from flask.typing import ResponseReturnValue
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from openai._models import validate_type
from openai._types import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response as ClientsResponse
from openai.types.responses import ResponseStreamEvent

from gateway import answers as held_answers
from gateway.keys import EVERYBODY
from gateway.schemas import FORMATS, PAUSE, Format
from gateway.schemas.openai import encode
from gateway.schemas.responses.answer import output_items, render
from gateway.schemas.responses.asked import repeat
from gateway.schemas.responses.stream import frames_after
from shared.protocol import (
    Accepted,
    Call,
    Chat,
    Delta,
    Done,
    Event,
    Failed,
    FineSampling,
    FinishReason,
    Kept,
    Options,
    Progress,
    Sampling,
    StartOver,
    State,
    TokenLogprob,
    TopLogprob,
    Usage,
)
from shared.protocol.sampling import REPEATED

RESPONSES: Format = FORMATS["openai.responses"]
JOB = "resp_" + "0123456789abcdef" * 2
OPTIONS = Options(asked=repeat({}, {}), kept=Kept())
HEAD = Accepted(Chat("m", (), Sampling(seed=1)), created=1_700_000_000, options=OPTIONS)
SCORED = replace(HEAD, task=Chat("m", (), FineSampling(seed=1, logprobs=1)))
DONE = Done(Usage(1, 1))
ENDS = ("response.completed", "response.incomplete", "response.failed")
TEXTS = {"message": "text", "reasoning": "text", "function_call": "arguments", "custom_tool_call": "input"}
"""Where the event of the text's end has it, by the type of the item."""


def strict(value: dict[str, Any]) -> dict[str, Any]:
    """A response, as strictly as the client can."""
    validate_type(type_=ClientsResponse, value=value)
    return value


def whole(events: Iterable[Event], head: Accepted = HEAD, state: State = State.COMPLETED) -> dict[str, Any]:
    return strict(json.loads(encode(render(JOB, head, events, state))))


def frames(events: Iterable[Event], head: Accepted = HEAD, after: int | None = None) -> list[dict[str, Any]]:
    """The data of a stream, each under the name of its type, each as its client has it."""
    made = RESPONSES.render_frames(JOB, head, head.options)
    if after is not None:
        made = frames_after(made, after)
    told = [frame for event in events for frame in made(event)]
    found = [json.loads(frame.data) for frame in told]
    assert [frame.name for frame in told] == [each["type"] for each in found]
    for each in found:
        validate_type(type_=cast("Any", ResponseStreamEvent), value=each)
    return found


def folded(stream: list[dict[str, Any]]) -> dict[str, Any]:
    """What a client makes of a stream: the last object, whose output must be what the events before it told."""
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    items, growing, scored = list[dict[str, Any]](), "", list[Any]()
    for each in stream:
        state.handle_event(validate_type(type_=cast("Any", ResponseStreamEvent), value=each))
        kind = each["type"]
        if kind == "response.output_item.added":
            assert each["output_index"] == len(items)
            assert each["item"]["status"] == "in_progress"
            growing, scored = "", []
        elif kind.endswith(".delta"):
            growing += each["delta"]
            scored += each.get("logprobs", [])
        elif kind == "response.output_item.done":
            item = each["item"]
            place = TEXTS[item["type"]]
            part = item.get("content") or item.get("summary")
            assert growing == (part[0]["text"] if part else item[place])
            assert scored == (part[0].get("logprobs", []) if part else [])
            items.append(item)
        elif kind.endswith(".done") and "content_part" not in kind and "summary_part" not in kind:
            assert growing == next(each[name] for name in ("text", "arguments", "input") if name in each)
    last = stream[-1]
    assert last["type"] in ENDS
    assert last["response"]["output"] == items
    return cast("dict[str, Any]", last["response"])


characters = st.characters(codec="utf-8")
texts = st.text(characters, min_size=1, max_size=12)
reasons: list[FinishReason] = ["stop", "length", "tool_calls"]
ends = st.sampled_from(reasons)
likely = st.builds(
    TokenLogprob,
    token=st.integers(0, 9),
    text=st.binary(max_size=4),
    logprob=st.floats(-10, 0),
    top=st.lists(st.builds(TopLogprob, token=st.integers(0, 9), text=st.just(b"a"), logprob=st.just(-1.0)), max_size=1),
)


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """An answer of texts, thoughts and calls, cut into pieces anywhere, which may end in any way."""
    told = draw(st.lists(st.sampled_from(["text", "thoughts", "function", "custom"]), max_size=5))
    pieces = list[Delta]()
    for number, kind in enumerate(told):
        text = draw(texts)
        call = Call(number, "look", custom=kind == "custom") if kind in ("function", "custom") else None
        marks = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
        for begin, end in itertools.pairwise([0, *marks, len(text)]):
            logprobs = tuple(draw(st.lists(likely, max_size=2)))
            piece = Delta(text[begin:end], (1,), reasoning=kind == "thoughts", call=call, logprobs=logprobs)
            pieces.append(piece)
    used = Usage(draw(st.integers(5, 9)), len(pieces), draw(st.integers(0, 5)), draw(st.integers(0, 3)))
    opening: list[list[Event]] = [[], [Progress(1, used.prompt_tokens)], [StartOver()]]
    first = draw(st.sampled_from(opening))
    if draw(st.booleans()):
        return [*first, *pieces, Failed(draw(st.sampled_from(["engine_error", "cancelled"])), "It went wrong.")]
    return [*first, *pieces, Delta(finish_reason=draw(ends)), Done(used, ended=1_700_000_009)]


@st.composite
def heads(draw: st.DrawFn) -> Accepted:
    summary = draw(st.sampled_from([None, "auto"]))
    asked = {**OPTIONS.asked, "reasoning": {"effort": "low", "summary": summary}}
    options = replace(OPTIONS, asked=asked, hides_reasoning=draw(st.booleans()), background=draw(st.booleans()))
    return replace(draw(st.sampled_from([HEAD, SCORED])), options=options)


@settings(max_examples=80)
@given(answers(), heads(), st.data())
def test_a_stream_is_the_same_as_a_whole_answer(events: list[Event], head: Accepted, data: st.DataObject) -> None:
    quiet = data.draw(st.integers(0, len(events) - 1))
    stream = frames(events, head)
    assert [each["sequence_number"] for each in stream] == list(range(len(stream)))
    assert stream[0]["type"] == "response.created"
    answer = whole(events, head, State.FAILED)
    assert folded(stream) == answer
    assert output_items(JOB, head, events) == answer["output"]
    # However long it is silent, and wherever a client goes on.
    slow = frames([PAUSE, PAUSE, *events[:quiet], PAUSE, *events[quiet:]], head)
    fresh = [each for place, each in enumerate(slow) if each["sequence_number"] > max([-1, *numbers(slow[:place])])]
    assert fresh == stream
    after = data.draw(st.integers(0, len(stream)))
    assert frames(events, head, after) == stream[after + 1 :]


def numbers(stream: list[dict[str, Any]]) -> list[int]:
    return [each["sequence_number"] for each in stream]


@settings(max_examples=50)
@given(answers(), heads(), st.data())
def test_an_answer_so_far_is_what_was_told_of_it(events: list[Event], head: Accepted, data: st.DataObject) -> None:
    so_far = events[: data.draw(st.integers(0, len(events) - 1))]
    answer = whole(so_far, head, State.IN_PROGRESS)
    assert (answer["status"], answer["usage"], answer["completed_at"]) == ("in_progress", None, None)
    statuses = [item["status"] for item in answer["output"]]
    ended = any(isinstance(event, Delta) and event.finish_reason for event in so_far)
    assert ended or set(statuses[:-1]) <= {"completed"}
    told = frames(so_far, head)
    begun = [each["item"]["id"] for each in told if each["type"] == "response.output_item.added"]
    assert [item["id"] for item in answer["output"]] == begun


def test_the_object() -> None:
    thoughts, text = Delta("Hm.", (1,), reasoning=True), Delta("Hi.", (1,))
    calls = [Delta("{}", (1,), call=Call(0, "look")), Delta("x", (1,), call=Call(1, "write", custom=True))]
    events: list[Event] = [
        thoughts,
        text,
        *calls,
        Delta(finish_reason="tool_calls"),
        Done(Usage(5, 4, 2, 1), ended=1_700_000_003),
    ]
    answer = whole(events)
    reasoning, message, function, custom = answer["output"]
    call_ids = [item.pop("call_id") for item in (function, custom)]
    assert len({*call_ids}) == 2
    assert all(each.startswith("call_") for each in call_ids)
    part = {"type": "output_text", "text": "Hi.", "annotations": [], "logprobs": []}
    hexes, ended = JOB.removeprefix("resp_"), {"status": "completed"}
    assert reasoning == {
        "type": "reasoning",
        "id": f"rs_{hexes}0000",
        "content": [{"type": "reasoning_text", "text": "Hm."}],
        "summary": [],
        "encrypted_content": None,
        **ended,
    }
    assert message == {"type": "message", "id": f"msg_{hexes}0001", "role": "assistant", "content": [part], **ended}
    assert function == {"type": "function_call", "id": f"fc_{hexes}0002", "name": "look", "arguments": "{}", **ended}
    assert custom == {"type": "custom_tool_call", "id": f"ctc_{hexes}0003", "name": "write", "input": "x", **ended}
    assert answer["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 9,
    }
    asked = {*OPTIONS.asked, *REPEATED, "output", "usage"}
    rest = {name: value for name, value in answer.items() if name not in asked}
    assert rest == {
        "id": JOB,
        "object": "response",
        "created_at": 1_700_000_000,
        "completed_at": 1_700_000_003,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": "m",
    }
    summed = replace(HEAD, options=replace(OPTIONS, asked={**OPTIONS.asked, "reasoning": {"summary": "auto"}}))
    [first, *_] = whole(events, summed)["output"]
    assert (first["summary"], first["content"]) == ([{"type": "summary_text", "text": "Hm."}], [])


@pytest.mark.parametrize(
    ("failed", "status", "code"),
    [
        (Failed("engine_error", "No."), "failed", "server_error"),
        (Failed("context_length_exceeded", "Too long.", "messages"), "failed", "invalid_prompt"),
        (Failed("queue_full", "Later."), "failed", "rate_limit_exceeded"),
        (Failed("cancelled", "You left."), "cancelled", None),
    ],
)
def test_an_answer_that_fails(failed: Failed, status: str, code: str | None) -> None:
    answer = whole([Delta("So", (1,)), failed])
    assert answer["status"] == status
    [item] = answer["output"]
    assert (item["status"], item["content"][0]["text"]) == ("incomplete", "So")
    error = answer["error"]
    param = "input" if failed.param else None
    assert error == (code and {"code": code, "message": failed.message, "param": param, "type": failed.code})


def test_one_that_is_cut_is_incomplete() -> None:
    answer = whole([Delta("So", (1,)), Delta(finish_reason="length"), Done(Usage(1, 1))])
    assert (answer["status"], answer["completed_at"]) == ("incomplete", None)
    assert answer["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item["status"] for item in answer["output"]] == ["incomplete"]


def test_how_it_is_sampled_is_told_as_it_is_done() -> None:
    """Also where the request is silent, and the model's own values hold; and of what is stored."""
    chosen = Sampling(seed=1, temperature=0.3, presence_penalty=0.5)
    for head in (accepted := replace(HEAD, task=Chat("m", (), chosen)), accepted.head()):
        for told in (whole([DONE], head), frames([DONE], head)[0]["response"]):
            assert [told[name] for name in REPEATED] == [0.3, 1.0, 0.5, 0.0]


def test_a_summary_that_is_cut_says_so() -> None:
    head = replace(HEAD, options=replace(OPTIONS, asked=repeat({}, {"reasoning": {"summary": "auto"}})))
    for reason, status in (("length", "incomplete"), ("stop", None)):
        told = frames([Delta("hm", reasoning=True), Delta(finish_reason=cast(FinishReason, reason)), DONE], head)
        [part] = [each for each in told if each["type"] == "response.reasoning_summary_part.done"]
        assert part.get("status") == status


def test_one_whose_end_is_lost_has_failed() -> None:
    assert whole([Delta("So", (1,))], state=State.COMPLETED)["error"]["code"] == "server_error"
    assert whole([], replace(HEAD, options=replace(OPTIONS, background=True)), State.QUEUED)["status"] == "queued"
    assert whole([], HEAD, State.QUEUED)["status"] == "in_progress"


def test_streams_hold_no_more_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream ends with the whole answer: without room for that it fails, and another one goes on."""
    monkeypatch.setattr(held_answers, "MOST_KEY_ANSWER_BYTES", 300_000)
    app = Flask(__name__)
    held_answers.init_app(app)

    @app.get("/")
    def stream() -> ResponseReturnValue:
        g.owner = EVERYBODY
        made = held_answers.counted_frames(RESPONSES.render_frames(JOB, HEAD, HEAD.options))
        pieces = [Delta("x" * 50_000, (1,)) for _ in range(5)]
        events: list[Event] = [*pieces, Delta(finish_reason="stop"), Done(Usage(1, 5))]
        return Response(frame.data + b"\n" for event in events for frame in made(event))

    def read() -> Iterator[str]:
        with app.test_client().get("/", buffered=False) as response:
            yield from (json.loads(line)["type"] for line in response.response)

    slow = read()
    told = [next(slow) for _ in range(8)]  # nearly all of it
    assert told[-1] == "response.output_text.delta"
    assert [*read()][-1] == "response.failed"
    assert [*slow][-1] == "response.completed"
    assert [*read()][-1] == "response.completed"
