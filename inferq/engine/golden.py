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


def compare(program: Path, model: Model, config: Config) -> None:
    """Raises StartError where they begin an answer otherwise, ModelLoadError where the program does not run."""
    texts = [_text(model, dataclasses.replace(config, llama_server=each)) for each in ("", str(program))]
    if texts[0] != texts[1]:
        raise StartError(f"{program} answers {texts[1]!r} where inferq's own engine says {texts[0]!r}: it is not kept")


def _text(model: Model, config: Config) -> str:
    from worker import engines

    task = Completion(model.id, (_PROMPT,), Sampling(temperature=0, max_tokens=GOLDEN, seed=1, ignore_eos=True))
    engine = engines.load(model, dataclasses.replace(config, slots=1, context=512, prefix_bytes=0))
    with closing(engine):
        return "".join(event.text for event in engine.run(task, NEVER) if isinstance(event, Delta))
