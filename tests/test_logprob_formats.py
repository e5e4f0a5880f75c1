"""How log probabilities are written: halves of characters, special tokens, what cannot be, and in how much memory."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.mailbox import LARGEST_MAILBOX, Mailbox
from gateway.schemas import FORMATS
from gateway.schemas.openai import encode
from shared.codec import decode_accepted
from shared.codec import encode as written
from shared.protocol import (
    Accepted,
    Chat,
    Completion,
    Delta,
    Done,
    Event,
    FineChat,
    FineCompletion,
    FineSampling,
    Message,
    Options,
    Sampling,
    StartOver,
    Task,
    TokenLogprob,
    TopLogprob,
    Usage,
)
from worker.choices import AT_ONCE, retell
from worker.engines.echo_logprobs import judge

CHAT, COMPLETION = FORMATS["openai.chat"], FORMATS["openai.completion"]
SCORED = FineSampling(1, logprobs=2, prompt_logprobs=2)
ASKED = Accepted(Chat("m", (), SCORED), created=1)
ECHOED = Accepted(FineCompletion("m", ("",), SCORED, echo=True), created=1)


def likely(text: bytes, logprob: float | None = -0.5, *top: tuple[bytes, float]) -> TokenLogprob:
    others = tuple(TopLogprob(number, other, least) for number, (other, least) in enumerate(top, 70))
    return TokenLogprob(7, text, logprob, others, 1)


def choice(accepted: Accepted, *pieces: Delta) -> Any:
    wire = CHAT if isinstance(accepted.task, Chat) else COMPLETION
    events: list[Event] = [*pieces, Done(Usage(1, 1))]
    return json.loads(encode(wire.render("j", accepted, events)))["choices"][0]


def test_halves_of_characters() -> None:
    """As at OpenAI: a token is its text, or its bytes where they are no whole characters."""
    halves = likely(b" \xf0\x9f", -0.5, (b"\x98", -1.0)), likely(b"\x98\x80!")
    piece = Delta(" 😀!", (7, 7), logprobs=halves, finish_reason="stop")
    first, second = choice(ASKED, piece)["logprobs"]["content"]
    assert (first["token"], first["bytes"]) == (" \\xf0\\x9f", [32, 240, 159])
    assert (second["token"], second["bytes"]) == ("\\x98\\x80!", [152, 128, 33])
    assert first["top_logprobs"] == [{"token": "\\x98", "logprob": -1.0, "bytes": [152]}]
    legacy = choice(ECHOED, piece)["logprobs"]
    assert legacy["tokens"] == ["bytes: \\xf0\\x9f", "bytes:\\x98\\x80!"]
    assert legacy["text_offset"] == [0, 1]  # the second is of the character at 1
    assert legacy["top_logprobs"][0] == {"bytes:\\x98": -1.0, "bytes: \\xf0\\x9f": -0.5}


def test_what_cannot_be_is_a_number() -> None:
    piece = Delta("a", (7,), logprobs=(likely(b"a", -math.inf, (b"b", -1e9)),), finish_reason="stop")
    [told] = choice(ASKED, piece)["logprobs"]["content"]
    assert (told["logprob"], told["top_logprobs"][0]["logprob"]) == (-9999.0, -9999.0)
    assert choice(ECHOED, piece)["logprobs"]["token_logprobs"] == [-9999.0]


def test_of_two_tokens_with_one_name_the_likelier_is_told() -> None:
    piece = Delta("a", (7,), logprobs=(likely(b"a", -2.0, (b"a", -1.0), (b"b", -3.0)),), finish_reason="stop")
    assert choice(ECHOED, piece)["logprobs"]["top_logprobs"] == [{"a": -1.0, "b": -3.0}]


def test_offsets_pass_over_what_is_not_in_the_text() -> None:
    """Special tokens, a space that a tokenizer adds, broken characters, and what a stop string cuts."""
    prompt = [likely(text, -1.0) for text in (b"<s>", b" Once", b"<mask>", b" up", b"on")]
    pieces = (
        Delta(prompt_text="Once upon", prompt_logprobs=tuple(prompt[:3])),
        Delta(prompt_logprobs=tuple(prompt[3:])),
        Delta(" a\N{REPLACEMENT CHARACTER} t", (7,) * 3, logprobs=(likely(b" a"), likely(b"\xff"), likely(b" time"))),
        Delta("", (7,), offset=5, logprobs=(likely(b"</s>"),), finish_reason="stop"),
    )
    told = choice(ECHOED, *pieces)
    assert told["text"] == "Once upon a\N{REPLACEMENT CHARACTER} t"
    assert told["logprobs"]["text_offset"] == [0, 0, 4, 4, 7, 9, 11, 12, 14]


def test_no_token_is_an_empty_list() -> None:
    piece = Delta(finish_reason="stop")
    assert choice(ASKED, piece)["logprobs"] == {"content": [], "refusal": None}
    legacy: dict[str, list[Any]] = {"tokens": [], "token_logprobs": [], "top_logprobs": [], "text_offset": []}
    assert choice(ECHOED, piece)["logprobs"] == legacy


def test_an_answer_that_begins_anew_tells_nothing_twice() -> None:
    piece = Delta("a", (7,), logprobs=(likely(b"a"),))
    events: list[Event] = [piece, StartOver(), piece, Delta(finish_reason="stop"), Done(Usage(1, 1))]
    for wire, accepted, name in ((CHAT, ASKED, "content"), (COMPLETION, ECHOED, "tokens")):
        answer = json.loads(encode(wire.render("j", accepted, events)))
        assert len(answer["choices"][0]["logprobs"][name]) == 1


def test_prompts_tell_their_own_number_of_alternatives() -> None:
    """Where the prompt is repeated, they may be asked for twice, with different numbers."""
    top = [(b"b", -1.0), (b"c", -2.0)]
    piece = Delta(prompt_text="a", prompt_logprobs=(likely(b"a", -3.0, *top),), finish_reason="length")
    asked = replace(ECHOED, options=Options(prompt_logprobs=1))
    asked = replace(asked, task=replace(asked.task, sampling=FineSampling(1, logprobs=2, prompt_logprobs=2)))
    told = choice(asked, piece)
    assert told["logprobs"]["top_logprobs"] == [{"b": -1.0, "c": -2.0, "a": -3.0}]
    assert [one["decoded_token"] for one in told["prompt_logprobs"][0].values()] == ["a", "b"]


@pytest.mark.parametrize(
    "task",
    [
        Chat("m", (Message("user", "Hi"),), FineSampling(7, 9, logprobs=2)),
        FineChat("m", (Message("user", "Hi"),), FineSampling(7, 9, prompt_logprobs=2), thinking=True),
        Completion("m", ("Hi",), FineSampling(7, 9, logprobs=0, top_n_sigma=1)),
        FineCompletion("m", ("Hi", "there"), FineSampling(7, 9, logprobs=3, prompt_logprobs=3), echo=True),
    ],
)
def test_who_answers_later_knows_what_is_told(task: Chat | Completion) -> None:
    head = decode_accepted(written([Accepted(task, 1).head()])).task
    assert isinstance(head, Chat | Completion)
    told = FineSampling(7, logprobs=task.sampling.logprobs, prompt_logprobs=task.sampling.prompt_logprobs)
    assert head.sampling == told
    assert getattr(head, "echo", False) == getattr(task, "echo", False)
    assert type(replace(task, sampling=Sampling(7)).head().sampling) is Sampling


def pieces(count: int) -> Iterator[Event]:
    for place in range(1, count + 1):
        yield Delta(" word", (7,), offset=5 * (place - 1), logprobs=(judge(7, " word", place, 20),))
    yield Delta(finish_reason="stop", offset=5 * count)
    yield Done(Usage(1, count))


@pytest.mark.parametrize("task", [Chat("m", (), SCORED), Completion("m", ("",), FineSampling(1, logprobs=20))])
def test_a_whole_answer_takes_little_more_memory_than_its_json(task: Task) -> None:
    wire, accepted = CHAT if isinstance(task, Chat) else COMPLETION, Accepted(task, 1)
    wire.render("j", accepted, pieces(9))
    tracemalloc.start()
    answer = wire.render("j", accepted, pieces(2000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = len(encode(answer))
    assert size > 500_000
    assert peak < 1.6 * size


def test_the_best_are_told_in_pieces_of_bounded_size() -> None:
    """Whoever reads one decodes it, and makes JSON of it, in one go."""
    before = [piece for piece in pieces(300) if isinstance(piece, Delta)]
    told = list(retell(before, 2, likelihoods=True))
    assert len(told) > 5
    assert max(piece.likelihoods for piece in told) < AT_ONCE + 21
    assert {piece.index for piece in told} == {2}
    assert [piece.finish_reason for piece in told if piece.finish_reason] == ["stop"]
    for piece in told:
        assert piece.offset == 5 * sum(len(each.tokens) for each in told[: told.index(piece)])
    assert choice(ASKED, *[replace(each, index=0) for each in told])["logprobs"] == choice(ASKED, *before)["logprobs"]
    [whole] = retell(before, 2, likelihoods=False)
    assert (whole.text, len(whole.tokens), whole.logprobs) == (" word" * 300, 300, ())


def test_a_mailbox_counts_them() -> None:
    box, number = Mailbox("j"), 0
    while not box.full:
        number += 1
        likelihoods = tuple(judge(7, " word", place + 1, 20) for place in range(64))
        prompt = Delta(prompt_logprobs=likelihoods) if number % 2 else Delta("", (7,) * 64, logprobs=likelihoods)
        box.put(number, "me", [prompt])
    assert number * 64 * 21 * 100 < 2 * LARGEST_MAILBOX
