"""Thoughts of llama.cpp's models: the real one, with templates that think."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from shared.cancellation import NEVER
from shared.card import Ability
from shared.catalogue import Model
from shared.config import Config
from shared.protocol import Event, FineChat, FineMessage, FineSampling, Grammar, Message
from tests.answers import deltas, finish, run
from tests.thinking_templates import write, write_begun
from tests.tiny import loaded as tiny
from worker.engines import UNTOLD
from worker.engines.llama_cpp import LlamaCppEngine
from worker.engines.thoughts import Stage

CHOICE = Grammar("choice", '["Paris", "Rome"]')
QUESTION = Message("user", "What is the capital city of France? Answer in one word.")


def asked(**more: Any) -> FineChat:
    sampling = {"max_tokens": 40, "temperature": 0.0, **more.pop("sampling", {})}
    return FineChat("m", (QUESTION,), FineSampling(1, **sampling), **more)


def parts(events: list[Event]) -> tuple[str, str]:
    """Thoughts and content."""
    thoughts = "".join(delta.text for delta in deltas(events) if delta.reasoning)
    return thoughts, "".join(delta.text for delta in deltas(events) if not delta.reasoning)


def count(events: list[Event]) -> int:
    return sum(len(delta.tokens) for delta in deltas(events) if delta.reasoning)


def loaded(path: Path, chat_format: str) -> closing[LlamaCppEngine]:
    model = Model("m", "", path, "llama.cpp", None, chat_format=chat_format)
    return closing(LlamaCppEngine(model, Config(slots=1, threads=1, context=2048)))


@pytest.fixture(scope="module")
def thinker(smollm2_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCppEngine]:
    with loaded(smollm2_path, write_begun(tmp_path_factory.mktemp("begun"))) as engine:
        yield engine


def test_thoughts_are_told_apart_and_end_with_the_budget(thinker: LlamaCppEngine) -> None:
    assert Ability.REASONING in thinker.card.abilities
    endless = run(thinker, asked(sampling={"ignore_eos": True}))
    assert parts(endless)[1] == ""
    assert (count(endless), finish(endless)[0]) == (40, "length")
    cut = run(thinker, asked(thinking_budget=12, sampling={"ignore_eos": True}))
    thoughts, content = parts(cut)
    assert count(cut) == 12
    assert thoughts
    assert parts(endless)[0].startswith(thoughts)
    assert content
    assert content == content.lstrip()
    assert "think>" not in thoughts
    reason, done = finish(cut)
    assert (reason, done.usage.completion_tokens) == ("length", 40)


def test_it_goes_on_wherever_it_was_left(thinker: LlamaCppEngine) -> None:
    task = asked(thinking_budget=8, sampling={"ignore_eos": True, "max_tokens": 24})
    whole = run(thinker, task)
    pieces = deltas(whole)
    for cut in range(1, len(pieces) - 1, 3):
        again = run(thinker, task, pieces[:cut])
        assert parts([*pieces[:cut], *again]) == parts(whole)
        assert count([*pieces[:cut], *again]) == count(whole)
    # Of another model's tokens only the text is known: the tags stand around it again.
    past = [replace(piece, tokens=(UNTOLD,) * len(piece.tokens)) for piece in pieces[:5]]
    assert all(piece.reasoning for piece in past)
    assert parts([*past, *run(thinker, task, past)]) == parts(whole)


def test_without_thoughts(thinker: LlamaCppEngine) -> None:
    thoughts, content = parts(run(thinker, asked(thinking=False)))
    assert thoughts == ""
    assert "Paris" in content


def test_a_grammar_and_stop_strings_hold_for_the_content_alone(thinker: LlamaCppEngine) -> None:
    for more in ({"thinking_budget": 6}, {"thinking": False}):
        events = run(thinker, asked(sampling={"grammar": CHOICE}, **more))
        assert parts(events)[1] == "Paris"
        assert count(events) == more.get("thinking_budget", 0)
        assert finish(events)[0] == "stop"
    thoughts, _ = parts(run(thinker, asked(thinking_budget=12, sampling={"ignore_eos": True})))
    word = thoughts.split()[1]
    stopped = run(thinker, asked(thinking_budget=12, sampling={"stop": (word,), "ignore_eos": True}))
    assert parts(stopped)[0] == thoughts
    assert word not in parts(stopped)[1]


def test_it_goes_on_with_thoughts_and_with_content_of_the_last_message(thinker: LlamaCppEngine) -> None:
    task = asked(thinking_budget=8, sampling={"max_tokens": 8})
    begun = FineMessage("assistant", "", reasoning="The answer to")
    thoughts, content = parts(run(thinker, replace(task, messages=(QUESTION, begun), continue_final=True)))
    assert thoughts.startswith(" ")
    assert content == ""
    last = Message("assistant", "The capital is")
    events = run(thinker, replace(task, messages=(QUESTION, last), continue_final=True))
    assert count(events) == 0
    assert parts(events)[1].startswith(" ")


def test_tags_that_are_special_tokens(smollm2_path: Path, tmp_path: Path) -> None:
    """llama.cpp gives such no text unless it is told to; here the model writes nothing else."""
    with loaded(smollm2_path, write(tmp_path, "<jupyter_start>", "<file_sep>")) as engine:
        [begin], [end] = (engine.tokenize(tag) for tag in ("<jupyter_start>", "<file_sep>"))
        always = {"logit_bias": ((begin, 100.0),), "max_tokens": 8}
        events = run(engine, asked(thinking_budget=3, sampling=always))
        assert parts(events) == ("<jupyter_start>" * 2, "<jupyter_start>" * 4)
        told = [token for delta in deltas(events) for token in delta.tokens]
        assert told == [begin, begin, begin, end, begin, begin, begin, begin]
        guided = run(engine, asked(thinking_budget=3, sampling={**always, "max_tokens": 20, "grammar": CHOICE}))
        assert parts(guided) in (("<jupyter_start>" * 2, city) for city in ("Paris", "Rome"))
        # No switch is known to this template: the answer begins after thoughts that have ended.
        assert parts(run(engine, asked(thinking=False, sampling=always))) == ("", "<jupyter_start>" * 8)


@pytest.mark.parametrize(
    ("begin", "end", "prompt", "stage"),
    [("<think>\n", "\n</think>\n\n", "", "OPEN"), ("[THINK]", "[/THINK]", "", "OPEN"), ("", "", "", None)],
)
def test_templates_tell_their_tags(
    smollm2_path: Path, tmp_path: Path, begin: str, end: str, prompt: str, stage: str | None
) -> None:
    with loaded(smollm2_path, write(tmp_path, begin, end, prompt)) as engine:
        assert (Ability.REASONING in engine.card.abilities) == (stage is not None)
        for sampling in ({}, {"grammar": CHOICE}):
            events = run(engine, asked(sampling=sampling))
            assert "Paris" in parts(events)[1]


CHANNELS = ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>")
FAMILIES: dict[str, tuple[str, str, Stage, Stage] | None] = {
    "Qwen-Qwen3-0.6B": ("<think>\n", "\n</think>\n\n", Stage.OPEN, Stage.CONTENT),
    "Qwen3.5-4B": ("<think>\n", "\n</think>\n\n", Stage.THOUGHTS, Stage.CONTENT),
    "llama-cpp-deepseek-r1": ("<think>\n", "</think>", Stage.THOUGHTS, Stage.CONTENT),
    "openai-gpt-oss-120b": (*CHANNELS, Stage.OPEN, Stage.CONTENT),
    "mistralai-Ministral-3-14B-Reasoning-2512": ("[THINK]", "[/THINK]", Stage.OPEN, Stage.CONTENT),
    "google-gemma-4-31B-it-interleaved": ("<|channel>thought\n", "<channel|>", Stage.OPEN, Stage.CONTENT),
    "mistralai-Mistral-Nemo-Instruct-2407": None,
}
"""Tags of thoughts, and where answers begin, as the template has it and without thoughts."""


@pytest.mark.parametrize("family", FAMILIES)
def test_families_of_templates(family: str) -> None:
    path = Path(__file__).parent / "fixtures" / "templates" / f"{family}.jinja"
    with tiny(chat_format=str(path)) as engine:
        chats = engine._chats
        thoughts, expected = chats._thoughts, FAMILIES[family]
        if expected is None:
            assert thoughts.tags is None
            return
        assert thoughts.tags
        usual, without = (chats.render(asked(thinking=thinking), NEVER)[1] for thinking in (None, False))
        assert (thoughts.tags.begin, thoughts.tags.end, usual.stage, without.stage) == expected
        assert (Ability.EFFORT in engine.card.abilities) == ("gpt-oss" in family)
