"""Engines: what computes.

The protocol that all of them keep, and the registry that imports one only when it is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from shared.catalogue import Model
from shared.config import Config
from shared.errors import EngineError
from shared.protocol import Delta, Event, Task
from shared.registry import Card


class Execution(Protocol):
    """What an engine sees of the attempt it computes for."""

    @property
    def cancelled(self) -> bool:
        """True when nobody wants the rest any more: raise `JobCancelled`, compute nothing further."""

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, in another thread, as soon as the execution is cancelled (at once if it is)."""


class Engine(Protocol):
    """One model, ready to compute.

    `run` may be called from as many threads at once as the card has slots. It yields the job's events, ending with
    `Done`; errors are raised as `InferqError`. The caller may close the iterator at any time.
    """

    card: Card

    @property
    def trouble(self) -> str:
        """What keeps it from computing, although it has been loaded once; empty when nothing does."""

    def run(self, task: Task, execution: Execution, past: Sequence[Delta] = ()) -> Iterator[Event]:
        """Compute one choice of one prompt; `index` of the events stays 0. A task with several is split before.

        `past` is what an earlier execution has sent: go on after it, as if nothing had happened; `max_tokens` and the
        usage count it in. Only engines get it whose card has the capability `continue`.
        """

    def close(self) -> None:
        """End the engine and its host."""


# name -> "module:class"; the class is called with (model, config).
_ENGINES = {
    "echo": "worker.engines.echo:EchoEngine",
    "llama.cpp": "worker.engines.llama_cpp:LlamaCppEngine",
}


def load(model: Model, config: Config) -> Engine:
    """Load a model into its engine.

    Raises:
        EngineError: there is no such engine, or it is not installed.
        ModelFileError: the model's file is damaged, or not for this engine.
        ModelLoadError: the engine refused the model.
    """
    name = model.engine
    if name not in _ENGINES:
        raise EngineError(f"unknown engine {name!r}; there are {', '.join(sorted(_ENGINES))}")
    module, _, attribute = _ENGINES[name].partition(":")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except ImportError as exc:
        raise EngineError(f"the engine {name!r} is not installed: {exc}") from exc
    engine: Engine = factory(model, config)
    return engine
