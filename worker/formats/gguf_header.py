"""What a GGUF file says about its model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from shared.recommendation import find_fault

log = logging.getLogger("inferq.models")

_MANY_HEADS = 64
_SAMPLING = {"temperature": "temp", "repeat_penalty": "penalty_repeat"} | {k: k for k in ("top_p", "top_k", "min_p")}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class MetadataArray:
    """An array of the metadata that stays in the file: `count` values of the GGUF type `kind` from byte `offset` on."""

    kind: int
    count: int
    offset: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """`offset` (from the beginning of the data) and `size` are in bytes; the first dimension is the innermost."""

    name: str
    kind: int
    shape: tuple[int, ...]
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file says about its model."""

    version: int
    alignment: int
    architecture: str
    metadata: Mapping[str, Any]
    """bool, int, float, str, or `Array`."""
    tensors: tuple[Tensor, ...]
    data_offset: int
    pairs: Mapping[str, tuple[int, int]]
    """The bytes of each metadata pair in the file: the first, and the one after the last."""

    @property
    def name(self) -> str | None:
        return self._of("general.name", str)

    @property
    def context_length(self) -> int | None:
        """Tokens that the model was trained for."""
        return self._of(f"{self.architecture}.context_length", int)

    @property
    def vocabulary_size(self) -> int:
        tokens = self._of("tokenizer.ggml.tokens", MetadataArray)
        return tokens.count if tokens else 0

    @property
    def heads(self) -> int:
        """Of attention, in each layer; where layers differ, as many as there may be."""
        return self._of(f"{self.architecture}.attention.head_count", int) or _MANY_HEADS

    @property
    def bos(self) -> int | None:
        """The token that begins a text, where the model has one."""
        return self.special("bos")

    def special(self, name: str) -> int | None:
        """The token that the file has by that name, as `eos`; None where it has none."""
        token = self._of(f"tokenizer.ggml.{name}_token_id", int)
        return token if token is not None and token < self.vocabulary_size else None

    @property
    def ends(self) -> tuple[int, ...]:
        """The tokens that end a text, or a turn of a chat, as far as the file names them."""
        found = map(self.special, ("eos", "eot", "eom"))
        return tuple(sorted({token for token in found if token is not None}))

    @property
    def spaced(self) -> bool:
        """The tokenizer puts a space before each text."""
        return self.tokenizer == "llama" and self.metadata.get("tokenizer.ggml.add_space_prefix", True) is True

    @property
    def spells_all(self) -> bool:
        """The tokens of a text spell all of it: other tokenizers leave parts out, or have one token for any word."""
        return self.tokenizer in ("gpt2", "llama")

    @property
    def tokenizer(self) -> str | None:
        """The name of its kind."""
        return self._of("tokenizer.ggml.model", str)

    @property
    def chat_template(self) -> str | None:
        return self._of("tokenizer.chat_template", str)

    @property
    def sampling(self) -> dict[str, float]:
        """The sampling that the model's makers recommend; what cannot be right is told to the log, and passed over."""
        found = {}
        for name, key in _SAMPLING.items():
            if (value := self.metadata.get(f"general.sampling.{key}")) is None:
                continue
            if fault := find_fault(name, value):
                log.warning("general.sampling.%s is passed over: it %s", key, fault)
            else:
                found[name] = float(f"{value:.7g}") if isinstance(value, float) else value  # 32 bits know no more
        return found

    def _of(self, key: str, kind: type[_T]) -> _T | None:
        value = self.metadata.get(key)
        return value if type(value) is kind else None
