"""Prompts long enough to be kept, an engine that keeps them, and what it has kept."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

from shared.config import Config
from shared.protocol import Caching, Completion, Delta, Sampling, TextTask
from tests.answers import finish, run
from tests.tiny import tiny
from worker.engines import Engine
from worker.engines.llama_cpp import LlamaCppEngine
from worker.prefixes.chain import BLOCK

LONG = 20 * BLOCK
"""Tokens, more than a snapshot has to have."""


def keeping(
    folder: Path, model: Path, slots: int = 2, lora: tuple[tuple[Path, float], ...] = (), **settings: object
) -> closing[LlamaCppEngine]:
    """An engine of this model, which keeps what it has read in a folder."""
    config = Config(prefixes=str(folder), slots=slots, threads=1, **settings)  # type: ignore[arg-type]  # any of them
    return closing(LlamaCppEngine(tiny(model, lora=lora), config))


def draw(count: int, seed: int = 0) -> tuple[int, ...]:
    """So many tokens of the tiny model, the same each time."""
    return tuple(random.Random(seed).choices(range(5, 500), k=count))


def ask(prompt: tuple[int, ...], most: int = 4, **caching: object) -> Completion:
    """With log probabilities, of which each token has one."""
    kept = Caching(**caching)  # type: ignore[arg-type]  # any of its fields
    sampling = Sampling(1, max_tokens=most, temperature=0.0, ignore_eos=True, logprobs=1, caching=kept)
    return Completion("tiny", (prompt,), sampling)


def cached(engine: Engine, task: TextTask) -> int:
    """How many tokens of its prompt were not read."""
    return finish(run(engine, task))[1].usage.cached_tokens


def told(engine: Engine, task: TextTask) -> list[tuple[int, float | None]]:
    """The answer's tokens, and how likely each was."""
    entries = [entry for event in run(engine, task) if isinstance(event, Delta) for entry in event.logprobs]
    return [(entry.token, entry.logprob) for entry in entries]


def snapshots(folder: Path) -> list[Path]:
    """The files of all keys."""
    return sorted(path for path in folder.glob("*/*") if path.suffix != ".part")
