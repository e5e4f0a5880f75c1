"""Every engine with a small model, for what all of them keep to. A new one is a line of ENGINES."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.catalogue import Model
from shared.config import Config
from shared.protocol import Chat, Completion, Message, Prompt, Sampling
from tests.answers import finish, run
from tests.fixtures.make_legacy import write
from tests.tiny import TINY
from worker import engines
from worker.engines import Engine


@dataclass(frozen=True)
class Entry:
    engine: str
    make: Callable[[Path], object] | None = None
    """Makes a model's file; None where the engine needs none, and has neither a vocabulary nor a host."""


ENGINES = [
    Entry("echo"),
    Entry("llama.cpp", lambda path: shutil.copy(TINY, path)),
    Entry("ctransformers", lambda path: write("gptj", "F16", path)),
]
WITH_MODEL = [entry for entry in ENGINES if entry.make]

PROMPT = "thirteen green blue sixteen eleven main twelve red ten nine six tree"
"""The tiny models answer it with whole characters, and read their answers again as the same tokens."""
MOST = 8
CONTEXT = 256


def named(entry: Entry) -> str:
    return entry.engine


def load(entry: Entry, folder: Path, **settings: Any) -> Engine:
    path = folder / "model.bin" if entry.make else None
    if entry.make:
        entry.make(folder / "model.bin")
    model = Model("tiny", "", path, entry.engine, None, chat_format="plain")
    if entry.engine == "llama.cpp":  # see `make engine`
        settings.setdefault("llama_server", os.environ.get("LLAMA_SERVER", ""))
    return engines.load(model, Config(slots=1, threads=1, context=CONTEXT, echo_rate=200, **settings))


def completion(prompt: Prompt = PROMPT, **sampling: Any) -> Completion:
    given = {"seed": 1, "max_tokens": MOST, "temperature": 0.0, "ignore_eos": True, **sampling}
    return Completion("tiny", (prompt,), Sampling(**given))


def chat(said: str) -> Chat:
    return Chat("tiny", (Message("user", said),), Sampling(seed=1, max_tokens=MOST, temperature=0.0))


def serves(engine: Engine) -> bool:
    return finish(run(engine, completion()))[1].usage.completion_tokens == MOST
