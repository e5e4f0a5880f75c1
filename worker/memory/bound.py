"""What a model takes at most, by the header of its file alone: where its engine cannot be asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worker.formats.gguf import MetadataArray, elements
from worker.formats.gguf_header import Header
from worker.memory.sizes import PAD, Sizes

_WIDE, _NARROW = 4, 2
"""Bytes of a number in 32 bits, and in 16."""
_RESULTS = 4
"""Of a layer, as wide as it is at its widest, that are there at the same time."""


class Bound:
    """Every layer is counted as one that looks back on all of the context, and as one with a state as well."""

    def __init__(
        self, path: Path, header: Header, *, slots: int, batch: int, outputs: int, exact: bool, plain: bool
    ) -> None:
        self._path, self._header = path, header
        self._slots, self._batch, self._outputs = slots, batch, outputs
        self._width, self._whole = _WIDE if exact else _NARROW, exact or plain

    def fixed(self, _context: int) -> int:
        """Bytes of cells that do not grow with it."""
        state, groups = (max(self._numbers(f"ssm.{name}"), default=0) for name in ("state_size", "group_count"))
        inner, kernel = (max(self._numbers(f"ssm.{name}"), default=0) for name in ("inner_size", "conv_kernel"))
        return self._layers * self._slots * (kernel + state) * (inner + 2 * state * groups) * _WIDE

    def kept(self, context: int) -> int:
        """Bytes of one state of each slot, to go back to."""
        window = self._slots * max(self._numbers("attention.sliding_window"), default=0)
        fixed = self.fixed(context)
        return fixed + (self.of(min(window, context)).cells - fixed if window else 0)

    def of(self, context: int) -> Sizes:
        cells, heads = -(-context // PAD) * PAD, max(self._numbers("attention.head_count") or [self._header.heads])
        wide = max(self._numbers("embedding_length"), default=0)
        key, value = (max(self._numbers(f"attention.{name}_length") or [wide // heads]) for name in ("key", "value"))
        shared = self._numbers("attention.head_count_kv") or [heads]
        shared = [*shared] * self._layers if len(shared) == 1 else shared
        widest = max(wide, heads * key, *self._numbers("feed_forward_length"), *self._numbers("ssm.inner_size"))
        scores = cells * (heads if self._whole else 1)
        row = scores + _RESULTS * widest
        return Sizes(
            weights=sum(tensor.size for tensor in self._header.tensors),
            copies=0,
            cells=cells * sum(shared) * (key + value) * self._width + self.fixed(context),
            compute=(self._batch * row + self._outputs * self._header.vocabulary_size) * _WIDE,
        )

    @property
    def _layers(self) -> int:
        return max(self._numbers("block_count"), default=1)

    def _numbers(self, key: str) -> Sequence[int]:
        """One, or one a layer; none where the file does not tell."""
        value = self._header.metadata.get(f"{self._header.architecture}.{key}")
        found = elements(self._path, value) if isinstance(value, MetadataArray) else [value]
        return [each for each in found if type(each) is int and each > 0]
