"""Content, thoughts and calls on their way from the engine to the client: never mixed, wherever they are cut, and the
same whether they are streamed or not."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import fields, replace
from openai.lib.streaming._deltas import accumulate_delta

from gateway.agreement import Conflict
from gateway.mailbox import Mailbox
from gateway.schemas import FORMATS, PAUSE
from gateway.schemas.speech import call_id
from shared.catalogue import Model
from shared.config import Config
from shared.protocol import (
    Accepted,
    Call,
    Chat,
    Delta,
    Done,
    Event,
    FineChat,
    Message,
    Options,
    Sampling,
    Tool,
)
from tests.answers import run
from worker.choices import Diverged, pass_over, split, sum_up
from worker.engines.echo import EchoEngine

ECHO = EchoEngine(Model("echo", "", None, "echo", None), Config())
WIRE = FORMATS["openai.chat"]
TOOLS = (Tool("look"), Tool("shell", custom=True))

words = st.text('ab \n"é😀\0', max_size=8)
calls = st.tuples(st.sampled_from(["look", "shell"]), words).map(lambda call: {"name": call[0], "arguments": call[1]})
answers = st.lists(words.map(lambda text: {"content": text}) | calls, min_size=1, max_size=4)


@st.composite
def tasks(draw: st.DrawFn) -> Chat:
    text = json.dumps(draw(answers)) if draw(st.booleans()) else draw(words)
    if draw(st.booleans()):
        text = f"<think>{draw(words)}</think>{text}"
    sampling = Sampling(draw(st.integers(0, 9)), max_tokens=draw(st.none() | st.integers(1, 8)))
    chat = FineChat(
        "echo",
        (Message("user", text),),
        sampling,
        draw(st.integers(1, 3)),
        token_ids=draw(st.booleans()),
        tools=draw(st.sampled_from([(), TOOLS, TOOLS[1:]])),
        must_call=draw(st.booleans()),
        parallel_calls=draw(st.booleans()),
        thinking=draw(st.sampled_from([None, True])),
    )
    return chat.simplest()


options = st.builds(Options, **{field.name: st.booleans() for field in fields(Options) if field.type is bool})
"""All of them: a stream and a whole answer differ in nothing."""


def job(task: Chat, data: st.DataObject) -> Iterator[Event]:
    """What a worker makes of a task: the choices' pieces come as they like."""
    candidates = split(task)
    left = []
    for candidate in candidates:
        *pieces, last, done = run(ECHO, candidate.task)
        assert isinstance(done, Done)
        assert isinstance(last, Delta)
        candidate.done = done
        left.append(
            placed([p for p in pieces if isinstance(p, Delta)] + [replace(last, usage=done.usage)], candidate.index)
        )
    while any(left):
        yield data.draw(st.sampled_from([pieces for pieces in left if pieces])).pop(0)
    yield sum_up(candidates)


def placed(pieces: Sequence[Delta], index: int = 0) -> list[Delta]:
    offsets = itertools.accumulate((len(piece.text) for piece in pieces), initial=0)
    return [replace(piece, index=index, offset=offset) for piece, offset in zip(pieces, offsets, strict=False)]


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(tasks(), options, st.data())
def test_a_stream_is_glued_together_to_what_is_answered_whole(
    task: Chat, options: Options, data: st.DataObject
) -> None:
    events = list(job(task, data))
    accepted = Accepted(task, 1, options=options).head()
    whole = WIRE.render("chatcmpl-1", accepted, events)
    frames = WIRE.render_frames("chatcmpl-1", accepted, options)
    for at in data.draw(st.lists(st.integers(0, len(events) - 1), max_size=2)):
        events.insert(at, PAUSE)
    *chunks, end = [frame.data for event in events for frame in frames(event)]
    assert end == b"[DONE]"
    choices: dict[int, dict[Any, Any]] = {}
    used: dict[str, Any] | None = None
    for chunk in map(json.loads, chunks):
        used = chunk.get("usage") or used
        for choice in chunk["choices"]:
            assert (
                "role" in choice["delta"] or choice["index"] in choices or choice["delta"] == {"content": silence(task)}
            )
            found = choices.setdefault(choice["index"], {"delta": {}, "token_ids": [], "finish_reason": None})
            assert found["finish_reason"] is None or choice["delta"] == {"content": silence(task)}, "a pause"
            found["delta"] = accumulate_delta(found["delta"], choice["delta"])
            found["token_ids"] += choice.get("token_ids", [])
            found["finish_reason"] = choice["finish_reason"] or found["finish_reason"]
    assert list(choices) == list(range(task.n))
    for choice in whole["choices"]:
        found = choices[choice["index"]]
        message = {"refusal": None, **found["delta"]}
        message["tool_calls"] = [
            {k: v for k, v in call.items() if k != "index"} for call in message.get("tool_calls", [])
        ]
        assert {name: value for name, value in message.items() if value != []} == choice["message"]
        assert found["finish_reason"] == choice["finish_reason"]
        assert found["token_ids"] == choice.get("token_ids", [])
    if options.include_usage:
        assert used == whole["usage"]


def silence(task: Chat) -> str | None:
    return None if isinstance(task, FineChat) else ""


def test_ids_of_calls_are_openais_and_apart() -> None:
    ids = {call_id(job, choice, call) for job in ("a", "b") for choice in range(12) for call in range(12)}
    assert len(ids) == 2 * 12 * 12
    assert all(len(each) == 29 and each.startswith("call_") and each[5:].isalnum() and each.isascii() for each in ids)
    assert (
        call_id("chatcmpl-1", 0, 0) == "call_DKfdH1nUnuTbKdttkRai5uuo"
    )  # whatever is stored may be read again by a later release


class TestComingAgain:
    """An answer that was computed twice: what was sent of the first one is gone on with, or nothing is."""

    channels = st.sampled_from([False, True, Call(0, "look"), Call(0, "shell", custom=True), Call(1, "look")])
    pieces = st.lists(st.tuples(channels, st.text("ab", max_size=3)), max_size=6)

    @staticmethod
    def deltas(pieces: Sequence[tuple[Call | bool, str]]) -> list[Delta]:
        """Calls come one after the other, so that of these some begin anew."""
        found = []
        for channel, text in pieces:
            if isinstance(channel, Call):
                found.append(Delta(text, call=channel))
            elif text:
                found.append(Delta(text, reasoning=channel))
        return [*found, Delta(finish_reason="stop")]

    @staticmethod
    def said(pieces: Sequence[Delta]) -> list[Any]:
        """Character by character, each with its channel; where a call begins it is told by itself."""
        found, before = list[Any](), None
        for piece in pieces:
            if piece.call and piece.call != before:
                found.append(piece.call)
            found += [(piece.channel, character) for character in piece.text]
            before = piece.channel if piece.text or piece.call else before
        return found

    @staticmethod
    def recut(pieces: Sequence[Delta], data: st.DataObject) -> list[Delta]:
        cut = list[Delta]()
        for piece in pieces:
            at = data.draw(st.integers(0, len(piece.text)))
            first = replace(piece, text=piece.text[:at], finish_reason=None)
            cut += [first, replace(piece, text=piece.text[at:])]
        return cut

    @settings(max_examples=300, deadline=None, database=None, derandomize=True)
    @given(pieces, pieces, st.booleans(), st.data())
    def test_through_the_runner_and_the_mailbox(
        self, one: list[Any], other: list[Any], same: bool, data: st.DataObject
    ) -> None:
        first = self.deltas(one)
        again = self.recut(first if same else self.deltas(other), data)
        sent = first[: data.draw(st.integers(0, len(first) - 1))]
        goes_on = self.said(again)[: len(self.said(sent))] == self.said(sent)
        assert goes_on or not same

        try:
            rest = [event for event in pass_over(sent, again) if isinstance(event, Delta)]
        except Diverged:
            assert not goes_on
        else:
            assert goes_on
            assert self.said([*sent, *rest]) == self.said(again)
            assert [piece.finish_reason for piece in rest][-1] == "stop"

        box = Mailbox("a", parts=True)
        box.put(1, "x", placed(sent))
        box.realign()
        try:
            box.put(1, "y", placed(again))
        except Conflict:
            assert not goes_on
        else:
            assert goes_on
            taken = list[Delta]()
            while isinstance(event := box.take(0), Delta):
                taken.append(event)
            assert self.said(taken) == self.said(again)
            assert placed(taken) == taken
            assert [piece.finish_reason for piece in taken if piece.finish_reason] == ["stop"]

    def test_the_name_of_a_call_without_arguments_is_no_less_than_a_word(self) -> None:
        box = Mailbox("a", parts=True)
        box.put(1, "x", [Delta("Hm"), Delta(call=Call(0, "look"), offset=2)])
        for other in (
            [Delta(" yes", offset=2, finish_reason="stop")],
            [Delta(call=Call(0, "shell"), offset=2), Delta("{}", call=Call(0, "shell"), offset=2)],
        ):
            box.realign()
            with pytest.raises(Conflict):
                box.put(1, "y", [Delta("Hm"), *other])
        box.realign()
        box.put(1, "z", [Delta("H"), Delta("m", offset=1), Delta("{", call=Call(0, "look"), offset=2)])
        assert [box.take(0) for _ in range(3)][-1] == Delta("{", call=Call(0, "look"), offset=2)

    def test_the_same_words_as_thoughts_are_not_the_same(self) -> None:
        for sent, again in [((True,), (False,)), ((False,), (True,)), ((True, False), (True, True))]:
            with pytest.raises(Diverged):
                list(pass_over(*[[Delta("so", reasoning=each) for each in parts] for parts in (sent, again)]))
