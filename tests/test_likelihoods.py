"""How likely the tokens of an answer were, by llama.cpp: every one is told, as forced decoding has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from shared.protocol import Completion, Delta, Event, Grammar, Sampling
from tests.answers import deltas, finish, logprobs, run, text, tokens
from tests.tiny import REFERENCE, greedy, loaded
from worker.engines.llama_cpp import LlamaCppEngine

EMOJI = "🙂"
PROMPT = tuple(REFERENCE["ids"])


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaCppEngine]:
    with loaded() as engine:
        yield engine


def task(**sampling: Any) -> Completion:
    given = {"seed": 1, "max_tokens": 12, "temperature": 0.0, "ignore_eos": True, "logprobs": 3, **sampling}
    return Completion("tiny", (PROMPT,), Sampling(**given))


def check(engine: LlamaCppEngine, events: Sequence[Event]) -> list[int]:
    """Every token that is counted is told, and is as likely as forced decoding says. Its tokens."""
    made = tokens(events)
    assert len(made) == finish(events)[1].usage.completion_tokens
    assert logprobs(events) == pytest.approx(engine.score([*PROMPT, *made], len(PROMPT)), abs=1e-4)
    for entry in (entry for delta in deltas(events) for entry in delta.logprobs):
        assert entry.text == engine.detokenize([entry.token])
        assert [other.text for other in entry.top] == [engine.detokenize([other.token]) for other in entry.top]
        assert entry.logprob is not None
        likelier = [other.token for other in entry.top if other.logprob > entry.logprob]
        if len(likelier) < len(entry.top):
            assert (entry.top[len(likelier)].token, entry.top[len(likelier)].logprob) == (entry.token, entry.logprob)
            assert entry.rank == len(likelier) + 1
        else:
            assert entry.rank == 0 or entry.rank > len(likelier)
    return made


@pytest.mark.parametrize(
    "sampling",
    [
        {},
        {"logprobs": 0},
        {"temperature": 1.5, "seed": 3},
        {"logit_bias": ((300, 20.0), (301, 19.0))},
        {"repeat_penalty": 1.8, "presence_penalty": 2.0},
        {"temperature": 1.0, "mirostat": 2},
        {"temperature": 1.0, "top_k": 2, "min_p": 0.2, "max_tokens": 6},
        {"min_tokens": 8, "ignore_eos": False},
    ],
    ids=lambda sampling: "-".join(sampling) or "plain",
)
def test_what_is_told_is_the_models_own(engine: LlamaCppEngine, sampling: dict[str, Any]) -> None:
    events = run(engine, task(**sampling))
    check(engine, events)
    assert {len(entry.top) for delta in deltas(events) for entry in delta.logprobs} == {sampling.get("logprobs", 3)}
    if "�" not in text(events):  # else other random numbers are drawn
        assert text(events) == text(run(engine, task(**{**sampling, "logprobs": None})))


def test_nothing_is_told_where_nothing_is_asked_for(engine: LlamaCppEngine) -> None:
    assert not any(delta.logprobs for delta in deltas(run(engine, task(logprobs=None))))


def test_the_token_that_ends_an_answer_is_told(engine: LlamaCppEngine) -> None:
    (end, *_) = engine._ends
    made = check(engine, run(engine, task(logit_bias=((end, 1000.0),), ignore_eos=False)))
    assert made == [end]
    usual = tokens(run(engine, task()))
    events = run(engine, task(stop_token_ids=(usual[4],)))
    assert check(engine, events) == usual[: usual.index(usual[4]) + 1]
    assert (finish(events)[0], deltas(events)[-1].stop) == ("stop", "")


def test_parts_of_characters_are_told(engine: LlamaCppEngine) -> None:
    """A biased model that writes nothing else."""
    parts = engine._text.tokens(EMOJI, begins=False)
    bias = tuple((token, 60.0) for token in set(parts))
    for temperature in (0.0, 1.0):
        made = check(engine, run(engine, task(logit_bias=bias, temperature=temperature)))
        assert set(made) <= set(parts)
        assert len(made) == 12
    (end, *_) = engine._ends
    made = check(engine, run(engine, task(logit_bias=((parts[0], 60.0), (end, 59.9)), ignore_eos=False)))
    assert parts[0] in made


def test_what_a_stop_string_cuts_off_is_told(engine: LlamaCppEngine) -> None:
    whole = text(run(engine, task()))
    stop = whole[len(whole) // 2 :][:3]
    events = run(engine, task(stop=("never", stop)))
    check(engine, events)
    assert (text(events), finish(events)[0]) == (whole[: whole.index(stop)], "stop")
    assert deltas(events)[-1].stop == stop
    assert "".join(delta.stop for delta in deltas(events)[:-1]) == ""


@pytest.mark.parametrize("cut", [1, 5])
def test_an_answer_that_goes_on_tells_the_rest(engine: LlamaCppEngine, cut: int) -> None:
    whole = run(engine, task())
    past = deltas(whole)[:cut]
    rest = run(engine, task(), past)
    check(engine, [*past, *rest])
    assert logprobs([*past, *rest]) == pytest.approx(logprobs(whole), abs=1e-4)


def test_an_answer_of_a_grammar_tells_all(engine: LlamaCppEngine) -> None:
    grammar = Grammar("regex", f'"[{EMOJI}é]{{3}}"', param="response_format")
    events = run(engine, task(grammar=grammar, ignore_eos=False, max_tokens=40))
    made = check(engine, events)
    assert engine.detokenize(made).decode().startswith(text(events))
    assert text(events).count(EMOJI) + text(events).count("é") == 3
    cut = run(engine, task(grammar=grammar, ignore_eos=False, max_tokens=2))
    check(engine, cut)
    assert finish(cut)[0] == "length"


def test_the_best_are_chosen_by_what_is_told(engine: LlamaCppEngine) -> None:
    one = replace(greedy(REFERENCE["prompt"], 4), best_of=2)
    assert not any(delta.logprobs for delta in deltas(run(engine, one)))


def test_the_last_chunk_is_no_larger_than_a_line_may_be(engine: LlamaCppEngine) -> None:
    events = run(engine, task(logprobs=20))
    assert all(isinstance(event, Delta) for event in events[:-1])
    check(engine, events)
