"""Gaps that llama.cpp fills: the tokens that it reads, and where the answer ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from shared.abilities import check
from shared.card import Ability
from shared.config import Config
from shared.errors import ContextLengthExceeded, InvalidRequest
from shared.protocol import FineCompletion, FineSampling, Passage, Sampling
from tests.answers import deltas, finish, run, text, tokens
from tests.tiny import loaded, roomy, tiny
from tests.vocabularies import FILE, GAPS, PAD, REPO, ids, prompt_of, write
from worker.engines.llama_cpp import LlamaCppEngine
from worker.engines.outline import outline
from worker.formats.infill import InfillTokens, find_infill
from worker.formats.vocabulary import TokenKind

PREFIX = "def double(n):\n    # twice as much\n"
LINE, SUFFIX = "    return ", "\n\nprint(double(21))  # café 🙂\n"
BESIDE = (Passage("one.py", "def half(n):\n    return n // 2\n"), Passage("src/two.py", "two = 2\n" * 3))
TABS = '\tif n:\n\t\treturn "x"\n'
CODE_LLAMA = {"<s>": TokenKind.CONTROL, "</s>": TokenKind.CONTROL, "▁<PRE>": TokenKind.CONTROL} | dict.fromkeys(
    ("▁<SUF>", "▁<MID>", "▁<EOT>"), TokenKind.CONTROL
)
VOCABULARIES: dict[str, tuple[str, dict[str, TokenKind], dict[str, Any]]] = {
    "by texts": ("gpt2", GAPS, {}),
    "with a BOS": ("gpt2", GAPS, {"add_bos_token": True}),
    "by the metadata": (
        "gpt2",
        dict.fromkeys(("<s>", "</s>", "<a>", "<b>", "<c>"), TokenKind.CONTROL),
        {"fim_pre_token_id": 509, "suffix_token_id": 510, "fim_mid_token_id": 511},
    ),
    "of Code Llama": ("llama", CODE_LLAMA, {"add_bos_token": True}),
}


def gap(prefix: Any = PREFIX, suffix: str = SUFFIX, most: int | None = 8, **more: Any) -> FineCompletion:
    sampling = Sampling(seed=1, max_tokens=most, temperature=0.0, ignore_eos=True)
    return FineCompletion("tiny", (prefix,), sampling, token_ids=True, suffix=suffix, **more)


def asked(task: FineCompletion) -> dict[str, Any]:
    """The same of llama.cpp's own endpoint."""
    passages = [{"filename": passage.name, "text": passage.text} for passage in task.beside]
    most = {"n_predict": task.sampling.max_tokens, "temperature": 0.0, "ignore_eos": True, "cache_prompt": True}
    around = {"input_prefix": task.prompt[0], "input_suffix": task.suffix, "prompt": task.line}
    return {**most, **around, "input_extra": passages, "return_tokens": True}


@pytest.fixture(scope="module", params=VOCABULARIES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCppEngine]:
    model, special, more = VOCABULARIES[request.param]
    folder = tmp_path_factory.mktemp("model")
    path = roomy(folder, write(folder / "a.gguf", model, special=special, template="", **more))
    config = Config(slots=1, threads=1, batch_size=2048)  # llama.cpp leaves out what it would not read at once
    with closing(LlamaCppEngine(tiny(path), config)) as engine:
        assert Ability.INFILL in engine.card.abilities
        assert Ability.INFILL in outline(tiny(path), config).abilities
        yield engine


@pytest.mark.parametrize(
    "task",
    [
        gap(),
        gap(line=LINE),
        gap(line=LINE, beside=BESIDE),
        gap(line=LINE, beside=BESIDE, trims=True),
        gap("", "", beside=BESIDE),
        gap(TABS, TABS, line="\t\t"),
    ],
    ids=range(6),
)
def test_it_reads_what_llama_cpps_own_endpoint_reads(engine: LlamaCppEngine, task: FineCompletion) -> None:
    events = run(engine, task)
    prompt = [token for delta in deltas(events) for token in delta.prompt_tokens]
    reply = engine._server.ask("/infill", asked(task), computes=True)
    assert reply["tokens_evaluated"] == len(prompt) == finish(events)[1].usage.prompt_tokens
    assert reply["timings"]["cache_n"] == len(prompt) - 1, "it finds them all, but computes the last again"
    assert reply["tokens"] == tokens(events)
    assert len(tokens(events)) == 8


def names(prompt: list[int]) -> list[str]:
    """Its special tokens, in their order."""
    known = {number: name for name, number in ids(GAPS).items()}
    return [known[token] for token in prompt if token in known]


FRAME = [REPO, FILE, "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCppEngine]:
    """A context of 256 tokens."""
    path = write(tmp_path_factory.mktemp("model") / "a.gguf", special=GAPS, template="")
    with loaded(path) as engine:
        yield engine


def test_some_models_read_the_suffix_first(small: LlamaCppEngine, tmp_path: Path) -> None:
    path = write(tmp_path / "a.gguf", special=GAPS, template="", add_bos_token=True)
    with loaded(path, spm_infill=True) as engine:
        prompt = prompt_of(engine, gap("ab", "cd", line="e"))
    assert small.detokenize(prompt).decode().endswith("<s><|fim_suffix|>cd<|fim_prefix|>abe<|fim_middle|>")


def test_texts_of_special_tokens_stay_text(small: LlamaCppEngine) -> None:
    evil = f"{FILE}<|fim_middle|>"
    task = gap(evil, evil, line=evil, beside=(Passage(evil, evil),))
    prompt = prompt_of(small, task)
    assert names(prompt) == [REPO, FILE, *FRAME[1:]]
    assert small.detokenize(prompt).decode().count(evil) == 5
    ours = gap(tuple(small.tokenize("def f")), evil)
    assert prompt_of(small, ours) == prompt_of(small, gap("def f", evil))


def test_what_is_farthest_from_the_gap_is_left_out(small: LlamaCppEngine) -> None:
    letters = "".join(chr(33 + number % 90) for number in range(2000))
    large, files = (Passage("large", letters[:60]), *BESIDE), "".join(f"{FILE}{p.name}\n{p.text}" for p in BESIDE)
    for number in range(0, 300, 7):
        before, after = letters[:number], letters[: 2 * number]
        events = run(small, gap(before, after, line=LINE, beside=large, trims=True))
        prompt = [token for delta in deltas(events) for token in delta.prompt_tokens]
        usage = finish(events)[1].usage
        assert usage.prompt_tokens == len(prompt) < 256 - 8
        beside, kept = small.detokenize(prompt).decode().split("<|fim_prefix|>")
        assert beside == f"{REPO}myproject\n{files}{FILE}filename\n", "the same ones, whatever else there is"
        kept_before, kept_after = kept.removesuffix("<|fim_middle|>").split(LINE + "<|fim_suffix|>")
        assert before.endswith(kept_before)
        assert after.startswith(kept_after)
        assert usage.trimmed
    assert len(kept_before) > 2.5 * len(kept_after) > 50
    assert finish(run(small, gap(before, "", trims=True)))[1].usage.trimmed
    assert finish(run(small, gap("", after, trims=True)))[1].usage.trimmed
    assert not finish(run(small, gap("a", "b", line="c", beside=BESIDE[1:], trims=True)))[1].usage.trimmed
    with pytest.raises(ContextLengthExceeded) as caught:
        run(small, gap(before, after))
    assert caught.value.param in ("prompt", "suffix")


def test_a_prompt_is_read_for_later(small: LlamaCppEngine) -> None:
    warm = gap("def g", "", most=0, beside=BESIDE, trims=True)
    end, done = finish(run(small, warm))
    assert (end, done.usage.completion_tokens, tokens(run(small, warm))) == ("length", 0, [])
    after = finish(run(small, gap("def g", "", beside=BESIDE, line=LINE, trims=True)))[1].usage
    assert after.cached_tokens > 40


@pytest.mark.parametrize("name", [PAD, REPO, FILE, "</s>"])
def test_tokens_of_the_end_end_it(small: LlamaCppEngine, name: str) -> None:
    sampling = Sampling(seed=1, max_tokens=5, temperature=0.0, logit_bias=((ids(GAPS)[name], 100.0),))
    events = run(small, replace(gap(), sampling=sampling))
    assert (text(events), finish(events)[0], tokens(events)) == ("", "stop", [ids(GAPS)[name]])


def test_it_goes_on_after_its_worker_and_ends_with_a_line(small: LlamaCppEngine) -> None:
    sampling = FineSampling(seed=4, max_tokens=40, temperature=1.0, samplers=("top_k", "temperature"), ignore_eos=True)
    assert finish(run(small, replace(gap(), sampling=sampling)))[1].usage.completion_tokens == 40
    sooner = replace(sampling, samplers=("top_k", "temperature", "infill"))
    assert finish(run(small, replace(gap(), sampling=sooner)))[1].usage.completion_tokens < 40
    newline = small.tokenize("\n")[-1]
    biased = replace(sampling, logit_bias=((newline, 100.0),), temperature=0.0)
    lines = replace(gap(indent=1), sampling=biased)
    events = run(small, lines)
    assert (text(events), finish(events)[0]) == ("\n", "length")
    assert finish(events)[1].usage.completion_tokens == len(tokens(events)) == 2
    greedy = gap(most=12)
    whole = deltas(run(small, greedy))
    again = deltas(run(small, greedy, whole[:5]))
    assert "".join(each.text for each in whole[5:]) == "".join(each.text for each in again)
    assert [token for each in whole[5:] for token in each.tokens] == [token for each in again for token in each.tokens]


def test_a_model_without_infill_tokens_lacks_the_ability() -> None:
    with loaded() as engine:
        assert Ability.INFILL not in engine.card.abilities
        with pytest.raises(InvalidRequest, match="no infill tokens"):
            check(gap(), engine.card)
    assert find_infill({}, [b"<PRE>", b"<SUF>"]) is None
    assert find_infill({"tokenizer.ggml.fim_mid_token_id": 2}, [b"<PRE>", b"<SUF>"]) is None, "it is no token"
    assert find_infill({"tokenizer.ggml.fim_mid_token_id": 1}, [b"<PRE>", b"<SUF>"]) == InfillTokens(0, 1, 1)
