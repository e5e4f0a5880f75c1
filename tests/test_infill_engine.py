"""Gaps that llama.cpp fills: the tokens that it reads, and where the answer ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from msgspec.structs import replace

from shared.config import Config
from shared.protocol import FineCompletion, Passage, Sampling
from shared.registry import Ability
from tests.answers import deltas, finish, run, text, tokens
from tests.tiny import roomy, tiny
from tests.vocabularies import GAPS, write
from worker.engines.llama_cpp import LlamaCppEngine
from worker.engines.outline import outline
from worker.formats.vocabulary import TokenKind

PREFIX = "def double(n):\n    # twice <|fim_middle|> as much\n"
LINE, SUFFIX = "    return ", "\n\nprint(double(21))  # café 🙂\n"
BESIDE = (Passage("one.py", "def half(n):\n    return n // 2\n"), Passage("src/two <s>.py", "two = 2\n" * 3))
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
    return {**most, **around, "input_extra": passages, "samplers": ["temperature"]}


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
    """As special tokens are text for both, but cut here, the texts of this test have them only where it is the same."""
    plain = replace(task, prompt=(str(task.prompt[0]).replace("<|fim_middle|>", "middle"),))
    plain = replace(plain, beside=tuple(replace(each, name=each.name.replace("<s>", "")) for each in plain.beside))
    events = run(engine, plain)
    prompt = [token for delta in deltas(events) for token in delta.prompt_tokens]
    reply = engine._server.ask("/infill", asked(plain), computes=True)
    assert reply["tokens_evaluated"] == len(prompt) == finish(events)[1].usage.prompt_tokens
    assert reply["timings"]["cache_n"] == len(prompt) - 1, "it finds them all, but computes the last again"
    assert reply["content"].startswith(text(events))
    assert reply["tokens_predicted"] == len(tokens(events)) == 8
