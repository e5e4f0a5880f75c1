"""The contract of `worker.engines.Engine`, which every engine keeps."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from shared import catalogue
from shared.card import Ability
from shared.errors import ContextLengthExceeded, InvalidRequest, JobCancelled
from shared.protocol import Caching, Delta
from tests.answers import Running, deltas, finish, run, text, tokens
from tests.engines import CONTEXT, ENGINES, MOST, PROMPT, WITH_MODEL, Entry, chat, completion, load, named, serves
from worker import engines
from worker.engines import UNTOLD, Engine
from worker.engines.stops import LARGEST_STOPS


@pytest.fixture(scope="module", params=ENGINES, ids=named)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with closing(load(request.param, tmp_path_factory.mktemp("model"))) as engine:
        yield engine


@pytest.fixture(scope="module", params=WITH_MODEL, ids=named)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with closing(load(request.param, tmp_path_factory.mktemp("model"))) as engine:
        yield engine


def test_every_engine_keeps_the_contract_and_is_known_by_name() -> None:
    assert {entry.engine for entry in ENGINES} == set(engines.REGISTRY) == set(catalogue.ENGINES)


def test_the_card_tells_models_apart(engine: Engine, tmp_path: Path) -> None:
    card = engine.card
    assert {Ability.COMPLETION, Ability.CHAT} <= set(card.abilities)
    assert engine.continues(completion())
    assert engine.continues(chat(PROMPT))
    assert (card.id, card.context, card.slots) == ("tiny", CONTEXT, 1)
    [entry] = [entry for entry in ENGINES if entry.engine == card.engine]
    with closing(load(entry, tmp_path)) as same:
        assert same.card.digest == card.digest
    assert len(bytes.fromhex(card.digest)) == 4
    assert (engine.trouble, engine.stale) == ("", False)


def test_a_card_names_its_engine_and_tells_it_from_others(tmp_path: Path) -> None:
    digests = set()
    for entry in ENGINES:
        (folder := tmp_path / entry.engine).mkdir()
        with closing(load(entry, folder)) as engine:
            assert engine.card.engine == entry.engine
            digests.add(engine.card.digest)
    assert len(digests) == len(ENGINES)


def test_an_answer_runs_to_its_end_and_counts(engine: Engine) -> None:
    events = run(engine, completion())
    reason, done = finish(events)
    assert reason == "length"
    assert [delta.finish_reason for delta in deltas(events) if delta.finish_reason] == ["length"]
    assert done.usage.prompt_tokens == len(engine.tokenize(PROMPT))
    assert [delta.prompt_size for delta in deltas(events)] == [
        done.usage.prompt_tokens,
        *[0] * (len(deltas(events)) - 1),
    ]
    assert done.usage.completion_tokens == len(tokens(events)) == MOST
    assert text(events)


def test_a_chat_is_answered(engine: Engine) -> None:
    assert text(run(engine, chat(PROMPT)))


@pytest.mark.parametrize("moment", ["before", "while"])
def test_a_cancelled_run_stops_and_the_engine_serves_on(engine: Engine, moment: str) -> None:
    execution = Running()
    events = engine.run(completion(PROMPT * 2, max_tokens=None), execution)
    if moment == "while":
        next(events)
    execution.cancel()
    with pytest.raises(JobCancelled):
        list(events)
    assert serves(engine)


def test_what_is_asked_for_cancelled_work_is_not_answered(model: Engine) -> None:
    execution = Running()
    execution.cancel()
    with pytest.raises(JobCancelled):
        model.tokenize(PROMPT, execution)
    with pytest.raises(JobCancelled):
        list(model.scorer.score(model.tokenize(PROMPT), 1, execution))
    assert serves(model)


def test_a_run_that_is_closed_stops_and_the_engine_serves_on(engine: Engine) -> None:
    events = engine.run(completion(max_tokens=None), Running())
    next(events)
    events.close()  # type: ignore[attr-defined]  # it is a generator
    assert serves(engine)


@pytest.mark.parametrize("told", [True, False], ids=["tokens", "text"])
@pytest.mark.parametrize("cut", [1, 4, 7])
def test_an_answer_goes_on_after_a_part(engine: Engine, cut: int, told: bool) -> None:
    whole = run(engine, completion())
    past = deltas(whole)[:cut]
    if not told:
        past = [replace(delta, tokens=(UNTOLD,) * len(delta.tokens)) for delta in past]
    rest = run(engine, completion(), past)
    assert text(past) + text(rest) == text(whole)
    assert finish(rest)[0] == "length"
    assert finish(rest)[1].usage.completion_tokens == MOST
    assert finish(rest)[1].usage.prompt_tokens == finish(whole)[1].usage.prompt_tokens


def test_an_answer_that_was_whole_but_for_its_end_only_ends(engine: Engine) -> None:
    past = [Delta(" word", (UNTOLD,)) for _ in range(MOST)]
    rest = run(engine, completion(), past)
    assert (text(rest), finish(rest)[0]) == ("", "length")
    assert finish(rest)[1].usage.completion_tokens == MOST


def test_a_stop_string_ends_the_text_before_it(engine: Engine) -> None:
    whole = text(run(engine, completion()))
    stop = whole[len(whole) // 2 :][:3]
    events = run(engine, completion(stop=("never said", stop)))
    assert text(events) == whole[: whole.index(stop)]
    assert finish(events)[0] == "stop"
    assert [delta.stop for delta in deltas(events) if delta.stop] == [stop] == [deltas(events)[-1].stop]
    assert not any(delta.stop for delta in deltas(run(engine, completion())))


def test_the_largest_stop_strings_change_nothing_else_and_a_cancel_is_heeded(engine: Engine) -> None:
    whole = text(run(engine, completion()))
    stop = (whole[-1] * (LARGEST_STOPS - 1) + "\0",)
    assert text(run(engine, completion(stop=stop))) == whole
    execution = Running()
    events = engine.run(completion(PROMPT * 2, max_tokens=None, stop=stop), execution)
    next(events)
    execution.cancel()
    with pytest.raises(JobCancelled):
        list(events)
    assert serves(engine)


def test_a_stop_token_ends_the_answer_before_its_text(engine: Engine) -> None:
    whole = run(engine, replace(completion(), token_ids=True))
    events = run(engine, completion(stop_token_ids=(tokens(whole)[3],)))
    assert text(events) == text(deltas(whole)[:3])
    assert finish(events)[0] == "stop"
    assert finish(events)[1].usage.completion_tokens in (3, 4), "echo does not count it"


@pytest.mark.parametrize("told", [True, False], ids=["ids", "text"])
def test_nothing_ends_an_answer_before_its_least_tokens(model: Engine, told: bool) -> None:
    plain = run(model, replace(completion(ignore_eos=False), token_ids=True))
    ids, words = tokens(plain), text(plain)
    early: dict[str, Any] = {"stop_token_ids": (ids[1],), "stop": (words[:2],), "min_tokens": 5, "ignore_eos": False}
    events = run(model, replace(completion(**early), token_ids=told))
    assert finish(events)[1].usage.completion_tokens >= 5
    assert ids[1] not in tokens(events)[:5]
    assert finish(run(model, completion(**{**early, "min_tokens": 0})))[0] == "stop"

    # Up to the border the same tokens, so the same text; and a stop string that comes after it counts.
    free = run(model, completion(min_tokens=4))
    assert text(free) == text(run(model, completion()))
    after = "".join(delta.text for delta in deltas(free)[4:])
    events = run(model, replace(completion(stop=(after[:1],), min_tokens=4), token_ids=told))
    assert finish(events)[0] == "stop"
    assert text(events) == text(free)[: len(text(free)) - len(after)]


@pytest.mark.parametrize("cut", [1, 4, 6])
def test_least_tokens_are_counted_from_the_beginning_of_an_answer(model: Engine, cut: int) -> None:
    ids = tokens(run(model, replace(completion(), token_ids=True)))
    task = completion(stop_token_ids=(ids[2], ids[6]), min_tokens=5)
    whole = run(model, task)
    past = deltas(whole)[:cut]
    rest = run(model, task, past)
    assert text(past) + text(rest) == text(whole)
    assert finish(rest)[0] == finish(whole)[0]
    assert finish(rest)[1].usage.completion_tokens == finish(whole)[1].usage.completion_tokens >= 5


def test_penalties_look_back_as_far_as_they_are_told(model: Engine) -> None:
    """One token is favoured so much that only its own repetitions can be in its way."""
    ids = tokens(run(model, replace(completion(), token_ids=True)))
    favoured: dict[str, Any] = {"logit_bias": ((ids[0], 60.0),), "frequency_penalty": 2.0, "max_tokens": 60}

    def share(window: int) -> int:
        return tokens(run(model, replace(completion(**favoured, repeat_last_n=window), token_ids=True))).count(ids[0])

    assert share(0) == share(8) == 60 > share(-1) == share(200) > 10


def test_a_prompt_is_read_anew_where_that_is_asked(model: Engine) -> None:
    run(model, completion())
    assert finish(run(model, completion()))[1].usage.cached_tokens > 0
    assert finish(run(model, completion(cache_prompt=False)))[1].usage.cached_tokens == 0


def test_a_prompt_is_known_to_its_owner_alone(model: Engine) -> None:
    prompt = PROMPT.upper() * 2

    def cached(owner: str, key: str = "") -> int:
        asked = completion(prompt, caching=Caching(owner=owner, key=key))
        return finish(run(model, asked))[1].usage.cached_tokens

    assert cached("alice") == 0 < cached("alice")
    assert cached("bob") == 0
    assert cached("bob", "narrow") == 0 < cached("bob", "narrow")
    finish(run(model, completion(PROMPT, caching=Caching(owner="carol"))))
    assert cached("alice") == 0, "with one slot it is gone for her as well"


def test_stop_strings_have_a_bound(engine: Engine) -> None:
    with pytest.raises(InvalidRequest, match=f"more than {LARGEST_STOPS} characters") as refusal:
        run(engine, completion(stop=("a" * LARGEST_STOPS, "b")))
    assert refusal.value.param == "stop"
    assert serves(engine)


@pytest.mark.parametrize("entry", ENGINES, ids=named)
def test_an_answer_ends_as_too_long_when_its_time_is_over(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(load(entry, tmp_path, max_seconds=30.0)) as engine:
        whole = run(engine, completion(PROMPT, max_tokens=None))
        clock = SimpleNamespace(monotonic=itertools.count().__next__)  # a second passes between two looks
        for module in ("echo", "ctransformers", "llama_cpp", "llama_cpp_generation"):
            monkeypatch.setattr(f"worker.engines.{module}.time", clock)
        if entry.engine == "echo":
            monkeypatch.setattr(engine, "_seconds", 5.0)
        cut = run(engine, completion(PROMPT, max_tokens=None))
        rest = run(engine, completion(PROMPT, max_tokens=None), deltas(cut)[:-1])
    reason, done = finish(cut)
    assert reason == "length"
    assert 0 < done.usage.completion_tokens < finish(whole)[1].usage.completion_tokens
    assert text(whole).startswith(text(cut))
    # An answer that goes on after a part has the whole time anew.
    assert finish(rest)[1].usage.completion_tokens > done.usage.completion_tokens


def test_token_ids_are_a_prompt_and_are_told_where_they_are_wanted(engine: Engine) -> None:
    ids = tuple(engine.tokenize(PROMPT))
    events = run(engine, replace(completion(ids), token_ids=True))
    assert deltas(events)[0].prompt_tokens == ids
    assert UNTOLD not in tokens(events)
    usage = finish(events)[1].usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (len(ids), len(tokens(events))) == (len(ids), MOST)


def test_the_same_seed_gives_the_same_text(engine: Engine) -> None:
    once, again = (text(run(engine, completion(seed=7, temperature=1.0))) for _ in range(2))
    assert once == again


def test_another_seed_gives_another_text(model: Engine) -> None:
    texts = {text(run(model, completion(seed=seed, temperature=1.0))) for seed in range(4)}
    assert len(texts) > 1


def test_what_does_not_fit_is_refused_and_the_parameter_named(engine: Engine) -> None:
    many = "one " * 2 * CONTEXT
    for task, param in (
        (completion(many), "prompt"),
        (completion(tuple(engine.tokenize(many))), "prompt"),
        (chat(many), "messages"),
    ):
        with pytest.raises(ContextLengthExceeded, match=f"{CONTEXT} tokens") as refusal:
            run(engine, task)
        assert refusal.value.param == param
    assert serves(engine)


def test_an_empty_prompt_is_answered_or_refused(engine: Engine) -> None:
    try:
        assert finish(run(engine, completion("")))
    except InvalidRequest as exc:
        refused = exc.param
    else:
        refused = "prompt"
    assert refused == "prompt"


def test_a_token_that_is_none_is_refused(model: Engine) -> None:
    with pytest.raises(InvalidRequest, match="1000000 is no token") as refusal:
        run(model, completion((1, 1_000_000)))
    assert refusal.value.param == "prompt"
    with pytest.raises(InvalidRequest, match="1000000 is no token") as refusal:
        run(model, completion(logit_bias=((1_000_000, 1.0),)))
    assert refusal.value.param == "logit_bias"
    with pytest.raises(InvalidRequest, match="1000000 is no token") as refusal:
        run(model, completion(stop_token_ids=(1_000_000,)))
    assert refusal.value.param == "stop_token_ids"


def test_tokens_and_their_texts_agree(model: Engine) -> None:
    ids = model.tokenize(PROMPT)
    assert model.detokenize(ids).decode().strip() == PROMPT
    events = run(model, replace(completion(), token_ids=True))
    assert model.detokenize(tokens(events)).decode(errors="replace") == text(events)


def test_no_more_is_scored_than_fits(model: Engine) -> None:
    with pytest.raises(ContextLengthExceeded):
        list(model.scorer.score([1] * (CONTEXT + 1)))
