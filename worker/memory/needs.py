"""What a model needs, as a function of its context: a class for each engine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from shared.catalogue import Model
from shared.config import Config
from worker.engines.ctransformers_file import check_file
from worker.engines.ctransformers_host import BATCH
from worker.engines.echo import CONTEXT
from worker.memory.footprint import Footprint
from worker.memory.sizes import LEGACY_HOST, PAD, TOKEN, WORKER

LEAST: Final = 1024
"""Tokens of the smallest context that is taken where none is named: fewer hold no chat."""
_RESIZED = ("llama", "falcon")
"""Architectures of ctransformers that take another context than their file's."""
_WIDE = 4
"""Bytes of a number in 32 bits."""
_RESULTS = 8
"""Of a layer, as wide as it is at its widest, that are there at the same time."""


class Needs(ABC):
    most: int
    """The largest context that the model can have, or the one that is named, in tokens."""

    @abstractmethod
    def of(self, context: int) -> Footprint:
        """With a context of so many tokens, `most` or fewer."""

    def largest(self, free: int) -> int:
        """The largest context with which it takes `free` bytes at most; 0 where there is none, or none of use."""
        if self.of(self.most).total <= free:
            return self.most
        return self._search(PAD, self.most // PAD * PAD, free)

    def _search(self, low: int, high: int, free: int) -> int:
        """Between these, of which the second may be too much; 0 where the first is too much."""
        if high < low or self.of(low).total > free:
            return 0
        while high - low >= 2 * PAD:
            middle = (low + high) // 2 // PAD * PAD
            low, high = (middle, high) if self.of(middle).total <= free else (low, middle)
        return high if high > low and self.of(high).total <= free else low


class NoNeeds(Needs):
    """Of an engine that computes nothing."""

    def __init__(self, config: Config) -> None:
        self.most = config.context or CONTEXT

    def of(self, context: int) -> Footprint:
        return Footprint(context, 0, 0, 0, 0, 0, WORKER)


class LegacyNeeds(Needs):
    """Of ctransformers, by what its code allocates: an upper bound."""

    def __init__(self, model: Model, config: Config) -> None:
        assert model.path is not None, "it has been chosen by its file"
        self._legacy = check_file(model.path, model.architecture)
        own = self._legacy.hyper.context
        self._resized = self._legacy.architecture in _RESIZED
        self.most = config.context or own if self._resized else min(config.context or own, own)

    def of(self, context: int) -> Footprint:
        legacy, hyper = self._legacy, self._legacy.hyper
        cells = context if self._resized else hyper.context
        step = BATCH * (_RESULTS * max(hyper.inner, hyper.width) + cells * hyper.heads) * _WIDE
        return Footprint(
            context,
            weights=0,
            copies=sum(tensor.size for tensor in legacy.tensors),
            cells=2 * _WIDE * cells * hyper.layers * hyper.kv_heads * hyper.head,
            compute=hyper.layers * step + BATCH * hyper.vocabulary * _WIDE,
            cache=0,
            process=WORKER + LEGACY_HOST + TOKEN * hyper.vocabulary,
            measured=False,
        )
