"""The tiny model of llama.cpp, and engines that run it or another file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from shared.catalogue import Model
from shared.config import Config
from shared.protocol import Completion, Sampling
from tests.answers import Running, tokens
from worker.engines.llama_cpp import LlamaCppEngine

TINY = Path(__file__).parent / "fixtures" / "tiny-llama.gguf"
REFERENCE = json.loads(TINY.with_suffix(".json").read_text())
"""What transformers says of it."""


def tiny(path: Path = TINY, **more: Any) -> Model:
    return Model("tiny", "", path, "llama.cpp", None, **more)


def loaded(path: Path = TINY, slots: int = 1, **more: Any) -> closing[LlamaCppEngine]:
    return closing(LlamaCppEngine(tiny(path, **more), Config(slots=slots, threads=1)))


def likeliest(path: Path, prompt: Sequence[int], count: int) -> list[int]:
    """So many tokens after the prompt, from an engine of its own."""
    sampling = Sampling(seed=1, max_tokens=count, temperature=0.0, ignore_eos=True)
    with loaded(path) as engine:
        return tokens(list(engine.run(Completion("tiny", (tuple(prompt),), sampling, token_ids=True), Running())))
