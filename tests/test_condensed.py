"""A stored chat lies in few events, which are told as all of them."""

from __future__ import annotations

from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.mailbox import Mailbox
from gateway.schemas.answer import condense
from gateway.schemas.chat import ChatFormat
from gateway.schemas.openai import encode
from shared.protocol import (
    Accepted,
    Call,
    Chat,
    Delta,
    Done,
    Event,
    FineSampling,
    Options,
    Progress,
    StartOver,
    TokenLogprob,
    Usage,
)

_LOGPROBS = st.builds(TokenLogprob, st.integers(0, 9), st.just(b"x"), st.floats(-9, 0))
_TOLD = st.lists(_LOGPROBS, max_size=2).map(tuple)
_EACH: list[dict[str, Any]] = [{}, {"reasoning": True}, {"call": Call(0, "look")}]
_PARTS = st.sampled_from(_EACH)
_CHOICES = 2


@st.composite
def _pieces(draw: st.DrawFn) -> list[Event]:
    """Those of two choices, in any order, each in its parts' order; the last one of each says why it ended."""
    texts = st.lists(st.tuples(st.text("ab é", max_size=3), _TOLD, _TOLD), max_size=4)
    choices = []
    for index in range(_CHOICES):
        parts = [(part, piece) for part in draw(st.lists(_PARTS, max_size=3)) for piece in draw(texts)]
        choice = [
            Delta(text, tokens=(1,) * len(told), index=index, logprobs=told, prompt_logprobs=prompt, **part)
            for part, (text, told, prompt) in parts
        ]
        choices.append([*choice, Delta(draw(st.text("z", max_size=2)), index=index, finish_reason="stop")])
    order = draw(st.permutations([index for index, choice in enumerate(choices) for _ in choice]))
    waiting = [iter(choice) for choice in choices]
    return [Progress(1, 2), *(next(waiting[index]) for index in order)]


@settings(max_examples=50)
@given(_pieces(), _pieces(), st.booleans(), st.sampled_from([Options(), Options(inlines_reasoning=True)]))
def test_a_chat_is_told_as_before(before: list[Event], pieces: list[Event], again: bool, options: Options) -> None:
    events = [*([*before, StartOver()] if again else []), *pieces, Done(Usage(1, 2))]
    few = condense(events)
    assert len(few) <= len(events)
    accepted = Accepted(Chat("m", (), FineSampling(1, logprobs=0), _CHOICES, token_ids=True), 1, options=options)
    told = [encode(ChatFormat().render("chatcmpl-1", accepted, iter(each))) for each in (few, events)]
    assert told[0] == told[1]


def test_a_long_answer_is_a_piece_and_an_end() -> None:
    words = [Delta(" word", tokens=(7,), offset=5 * n) for n in range(1000)]
    end = Delta("", finish_reason="length", usage=Usage(1, 1000))
    whole = Delta(" word" * 1000, tokens=(7,) * 1000, finish_reason="length", usage=Usage(1, 1000))
    assert condense([*words, end, Done(Usage(1, 1000))]) == [whole, Done(Usage(1, 1000))]


def test_a_reader_goes_on_with_it_where_its_record_was_lost() -> None:
    """He has read a part of the pieces that the job has sent."""
    parts: list[dict[str, Any]] = [{"reasoning": True}] * 3 + [{}] * 3 + [{"call": Call(0, "look")}] * 3
    pieces = [Delta(f"{n} ", tokens=(n,), offset=2 * n, **part) for n, part in enumerate(parts)]
    whole: list[Event] = [*pieces, Delta(offset=18, finish_reason="tool_calls"), Done(Usage(1, 9))]
    for read in range(1, len(pieces) + 1):
        box = Mailbox("chatcmpl-1", parts=True)
        box.put(1, "worker", pieces[:read])
        box.realign()
        box.put(1, "stored", condense(whole))
        told = list(iter(partial(box.take, 0), None))
        deltas = [event for event in told if isinstance(event, Delta)]
        for part in parts[::3]:
            channel = Delta(**part).channel
            said = "".join(event.text for event in deltas if event.channel == channel)
            assert said == "".join(piece.text for piece in pieces if piece.channel == channel), read
        assert (deltas[-1].finish_reason, told[-1]) == ("tool_calls", whole[-1])
