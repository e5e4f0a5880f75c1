"""How likely the tokens of an answer were, by llama.cpp: every one is told, as forced decoding has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict, replace

from shared.cancellation import NEVER
from shared.config import Config
from shared.protocol import Chat, Completion, Event, FineChat, Grammar, Message, Sampling, Tool
from tests.answers import Running, deltas, finish, logprobs, run, scores, text, tokens
from tests.engines import ENGINES, MOST, completion, load, named
from tests.engines import PROMPT as WORDS
from tests.thinking_templates import write_begun
from tests.tiny import REFERENCE, TINY, loaded, roomy, tiny
from tests.vocabularies import IM_START, START, THINK, ids, write
from worker.engines import Engine, llama_cpp_likelihoods
from worker.engines.llama_cpp import LlamaCppEngine

EMOJI = "🙂"
GRAMMAR = Grammar("regex", f'"[{EMOJI}é]{{3}}"', param="response_format")
PROMPT = tuple(REFERENCE["ids"])


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaCppEngine]:
    with loaded() as engine:
        yield engine


@pytest.fixture(scope="module", params=ENGINES, ids=named)
def any_engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with closing(load(request.param, tmp_path_factory.mktemp("model"))) as engine:
        yield engine


def task(**sampling: Any) -> Completion:
    given = {"seed": 1, "max_tokens": 12, "temperature": 0.0, "ignore_eos": True, "logprobs": 3, **sampling}
    return Completion("tiny", (PROMPT,), Sampling(**given))


def check(engine: LlamaCppEngine, events: Sequence[Event], prompt: Sequence[int] = PROMPT) -> list[int]:
    """Every token that is counted is told, and is as likely as where it is forced, or read in a batch. Its tokens."""
    made = tokens(events)
    assert len(made) == finish(events)[1].usage.completion_tokens
    forced = [entry.logprob for entry in engine._likelihoods.ask(prompt, made, 0, NEVER)]
    assert logprobs(events) == pytest.approx(forced, abs=1e-3)
    read = scores(engine, [*prompt, *made], len(prompt))
    assert logprobs(events) == pytest.approx(read, abs=0.02)  # batches of 16 bits add up otherwise
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


def test_tokens_without_a_text_have_none_wherever_they_come(tmp_path: Path) -> None:
    """Also between parts of characters, from which on llama.cpp does not spell them."""
    with loaded(write(tmp_path / "special.gguf")) as engine:
        parts = engine._text.tokens(EMOJI, begins=False)
        for name, shown in ((IM_START, False), ("<pad>", False), (THINK, True), (START, True)):
            bias, after = tuple((token, 60.0) for token in {ids()[name], *parts}), 0
            for seed, top in ((1, 0), (2, 0), (3, None)):
                sampling = {"logprobs": top, "min_tokens": 2, "temperature": 1.0, "max_tokens": 16, "seed": seed}
                events = run(engine, task(logit_bias=bias, **sampling))
                made, said = tokens(events), text(events)
                after += ids()[name] in made[next(i for i, token in enumerate(made) if token in parts) :]
                assert (name in said) == (shown and ids()[name] in made)
            assert after


def test_parts_of_characters_that_hardly_anybody_expects(
    engine: LlamaCppEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not among the likeliest."""
    monkeypatch.setattr(llama_cpp_likelihoods, "_LIKELY", 1)
    for lead in (20.0, 300.0, -300.0):
        monkeypatch.setattr(llama_cpp_likelihoods, "_LEADS", (lead, 10.0))
        made = check(engine, run(engine, task(temperature=2.0, seed=5)))
        assert any(engine.detokenize([token])[0] >= 0xC0 for token in made)


def test_bytes_that_begin_no_character_are_told(engine: LlamaCppEngine) -> None:
    """llama.cpp waits for more of them. What they are read as may be a stop string, which is then found at the end."""
    for byte in (b"\xc0", b"\xf6", b"\xff"):
        bias = ((engine._pieces.index(byte), 100.0),)
        made = check(engine, run(engine, task(logit_bias=bias, max_tokens=3)))
        assert engine.detokenize(made) == byte * 3
    partial = ((engine._pieces.index(b"\xf0"), 100.0),)
    events = run(engine, task(logit_bias=partial, max_tokens=3, stop=("\ufffd",)))
    check(engine, events)
    assert (finish(events)[0], deltas(events)[-1].stop) in (("stop", "\ufffd"), ("length", ""))


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
    assert logprobs([*past, *rest]) == pytest.approx(logprobs(whole), abs=1e-3)


def test_an_answer_of_a_grammar_tells_all(engine: LlamaCppEngine) -> None:
    events = run(engine, task(grammar=GRAMMAR, ignore_eos=False, max_tokens=40))
    made = check(engine, events)
    assert engine.detokenize(made).decode().startswith(text(events))
    assert text(events).count(EMOJI) + text(events).count("é") == 3
    cut = run(engine, task(grammar=GRAMMAR, ignore_eos=False, max_tokens=2))
    check(engine, cut)
    assert finish(cut)[0] == "length"


def test_a_draft_tells_nothing_and_is_asked_for_nothing(engine: LlamaCppEngine) -> None:
    with loaded(draft=TINY) as drafting:
        events = run(drafting, task())
        check(drafting, events)
        assert tokens(events) == tokens(run(engine, task()))


def test_thoughts_and_what_ends_them_are_told(tmp_path: Path) -> None:
    """The tokens that a budget forces are as likely as they would have been."""
    asked = Chat("tiny", (Message("user", "Hi"),), task(max_tokens=24).sampling, token_ids=True)
    with loaded(chat_format=write_begun(tmp_path)) as engine:
        for budget, more in ((None, {}), (5, {}), (0, {}), (5, {"grammar": GRAMMAR, "ignore_eos": False})):
            sampling = replace(asked.sampling, **more)
            chat = FineChat(**{**asdict(asked), "sampling": sampling}, thinking_budget=budget)
            events = run(engine, chat)
            prompt = deltas(events)[0].prompt_tokens
            check(engine, events, prompt)
            thoughts = [entry for delta in deltas(events) if delta.reasoning for entry in delta.logprobs]
            assert len(thoughts) == (24 if budget is None else budget)
            made = tokens(events)
            if budget is not None:
                closing = engine._text.tokens(["\n</think>\n\n"], begins=False)
                assert made[budget : budget + len(closing)] == closing
            if budget == 5:
                past = deltas(events)[:3]
                rest = run(engine, replace(chat, token_ids=False), past)
                assert [*tokens(past), *tokens(rest)] == made or more
                check(engine, [*past, *rest], prompt) if not more else None


def test_calls_in_the_own_form_tell_all(tmp_path: Path) -> None:
    """So do those of a model whose template has a form of its own, which tells nothing of tokens."""
    tool = Tool("count", "", '{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}')
    template = Path(__file__).parent / "fixtures" / "templates" / "Qwen-Qwen3-0.6B.jinja"
    sampling = task(ignore_eos=False, max_tokens=60).sampling
    chat = FineChat("tiny", (Message("user", "Hi"),), sampling, tools=(tool,), must_call=True, parallel_calls=False)
    with loaded(roomy(tmp_path), chat_format=str(template)) as engine:
        assert engine._answer_natively(replace(chat, sampling=replace(sampling, logprobs=None)), Running())
        events = run(engine, chat)
        assert {delta.call.name for delta in deltas(events) if delta.call} == {"count"}
        told = logprobs(events)
        assert len(told) == finish(events)[1].usage.completion_tokens
        assert all(logprob <= 0 for logprob in told)


@pytest.mark.parametrize("top", [0, 1, 20])
def test_every_token_is_told_with_how_likely_it_was(any_engine: Engine, top: int) -> None:
    events = run(any_engine, completion(logprobs=top))
    told = [entry for delta in deltas(events) for entry in delta.logprobs]
    assert [entry.token for entry in told] == tokens(events)
    assert len(told) == finish(events)[1].usage.completion_tokens == MOST
    assert b"".join(entry.text for entry in told).decode().strip() == text(events).strip()
    for entry in told:
        likelihoods = [other.logprob for other in entry.top]
        assert entry.logprob is not None
        assert len(likelihoods) == top
        assert sorted([*likelihoods, 0.0], reverse=True) == [0.0, *likelihoods]
        assert (entry.token in [other.token for other in entry.top]) == (0 < entry.rank <= top)
    assert not any(delta.logprobs for delta in deltas(run(any_engine, completion())))
    rest = run(any_engine, completion(logprobs=top), deltas(events)[:3])
    assert len(logprobs(deltas(rest))) == MOST - 3


def test_how_likely_tokens_were_is_what_scoring_says(any_engine: Engine) -> None:
    if any_engine.card.engine == "echo":
        return  # its are made up
    ids, most = any_engine.tokenize(WORDS), 12
    for more in ({}, {"temperature": 1.5}, {"logit_bias": ((5, 30.0),)}, {"repeat_penalty": 1.9}, {"min_tokens": 5}):
        events = run(any_engine, completion(logprobs=0, max_tokens=most, **more))
        made = tokens(events)
        assert logprobs(deltas(events)) == pytest.approx(scores(any_engine, [*ids, *made], len(ids)), abs=0.01)
    ended = run(any_engine, completion(logprobs=0, stop_token_ids=(made[3],)))
    assert len(logprobs(deltas(ended))) == finish(ended)[1].usage.completion_tokens


def test_what_is_guessed_from_the_text_tells_nothing_and_changes_nothing(engine: LlamaCppEngine) -> None:
    few = [(5, 100.0), (6, 100.0), (7, 100.0)]  # so that a part of the text comes again, and goes on otherwise
    with closing(LlamaCppEngine(tiny(), Config(slots=1, threads=1, speculation="ngram"))) as guessing:
        for temperature in (0.0, 1.0, 1.0):  # the last time the prompt is known
            sampling = {"max_tokens": 60, "temperature": temperature, "seed": 3, "logit_bias": tuple(few)}
            asked = task(**sampling, logprobs=None)
            assert text(run(guessing, asked)) == text(run(engine, asked))
        asked = task(max_tokens=60, logit_bias=tuple(few))
        events = run(guessing, asked)
        check(guessing, events)
        assert tokens(events) == tokens(run(engine, asked))
        question = {"prompt": PROMPT, "n_predict": 60, "temperature": 1, "seed": 3, "logit_bias": few}
        told = guessing._server.ask("/completion", question, computes=True)["timings"]
        assert told["draft_n"] > told["draft_n_accepted"] > 0
