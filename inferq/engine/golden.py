"""Whether a program that was built computes what the engine that comes along does."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from pathlib import Path

from inferq.errors import StartError
from shared.cancellation import NEVER
from shared.catalogue import Model
from shared.config import Config
from shared.protocol import Completion, Delta, Sampling
from worker.engines.own_engine import GOLDEN

_PROMPT = "Once upon a time there was a lighthouse on a rock, and the sea"


def compare(program: Path, model: Model, config: Config, expected: str) -> None:
    """Raises StartError where it begins an answer otherwise than with the text that `answer` has found with the engine
    that comes along, ModelLoadError where it does not run."""
    if (found := answer(model, config, str(program))) != expected:
        raise StartError(f"{program} answers {found!r} where inferq's own engine says {expected!r}: it is not kept")


def answer(model: Model, config: Config, program: str = "") -> str:
    """How an answer begins; without a program, of the engine that comes along. Raises ModelLoadError."""
    from worker import engines

    config = dataclasses.replace(config, llama_server=program)
    task = Completion(model.id, (_PROMPT,), Sampling(temperature=0, max_tokens=GOLDEN, seed=1, ignore_eos=True))
    engine = engines.load(model, dataclasses.replace(config, slots=1, context=512, prefix_bytes=0))
    with closing(engine):
        return "".join(event.text for event in engine.run(task, NEVER) if isinstance(event, Delta))
