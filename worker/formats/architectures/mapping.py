"""What a mapping module says of its architecture, for the legacy reader and for both converters to GGUF."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from worker.formats.architectures.settings import Settings

if TYPE_CHECKING:  # every worker reads these maps and computes nothing with them: numpy would cost its start 0.1 s
    import numpy as np
    import numpy.typing as npt

    Rows = npt.NDArray[np.intp]
    Floats = npt.NDArray[np.float32]

MOST_TOKENS, MOST_BLOCKS, WIDEST = 1 << 20, 1000, 1 << 20
"""Beyond what any model of these architectures has; a file that says more is damaged or means harm."""

GGML, LLAMA_ONLY, RUSTFORMERS = "ggml", "ggmf", "ggjt"


@dataclass(frozen=True, slots=True)
class Hyper:
    """The hyper-parameters of a model, whatever file they come from."""

    vocabulary: int
    context: int
    width: int
    inner: int
    """Width of the feed-forward layers."""
    heads: int
    layers: int
    kv_heads: int
    head: int
    """Width of a head."""
    rotary: int | None = None
    """Dimensions of a head that turn with the position."""
    rope_base: float | None = None
    rope_linear: float | None = None
    """The factor by which positions are stretched."""
    rope_factors: tuple[float, ...] = ()
    """What the frequency of each pair of dimensions is divided by."""
    epsilon: float = 1e-5
    alibi: float | None = None
    clip: float | None = None
    parallel: bool | None = None
    """Whether attention and feed-forward of a block read the same input."""
    types: int = 0
    """Kinds of tokens that the model tells apart by where they stand, as those of two texts."""
    causal: bool = True
    """A token sees only those before it."""
    pooling: int | None = None
    """llama.cpp's number of how one vector becomes of those of all tokens."""

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes by the names that `Weight.shape` uses."""
        queries, keys = self.heads * self.head, self.kv_heads * self.head
        return {
            "vocabulary": self.vocabulary,
            "context": self.context,
            "width": self.width,
            "inner": self.inner,
            "head": self.head,
            "queries": queries,
            "keys": keys,
            "qkv": queries + 2 * keys,
            "frequencies": (self.rotary or 0) // 2,
            "types": self.types,
        }

    @property
    def fault(self) -> str:
        """What is impossible about these numbers; empty when nothing is."""
        bounds = {
            "vocabulary": MOST_TOKENS,
            "context": 1 << 24,
            "width": WIDEST,
            "inner": WIDEST,
            "heads": self.width,
            "layers": MOST_BLOCKS,
            "kv_heads": self.heads,
            "head": self.width,
        }
        for name, most in bounds.items():
            if not 1 <= (value := getattr(self, name)) <= most:
                return f"{name} is {value}; 1 to {most} are possible"
        if self.heads % self.kv_heads:
            return f"{self.heads} heads cannot share {self.kv_heads} heads of keys"
        if self.rotary is not None and not (0 <= self.rotary <= self.head and self.rotary % 2 == 0):
            return f"{self.rotary} rotary dimensions do not fit heads of width {self.head}"
        numbers = (self.epsilon, self.alibi, self.clip, self.rope_base, self.rope_linear, *self.rope_factors)
        if any(value is not None and not 0 <= value < 1e30 for value in numbers):
            return f"a number is negative, infinite or no number: {numbers}"
        return ""


def _without_legacy(numbers: Mapping[str, float], shapes: Mapping[str, tuple[int, ...]]) -> Hyper:
    raise ValueError("there are no legacy files of it")


Order = Callable[[Hyper], "Rows"]
"""Which row of the source becomes row i."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor of a model, by its names in the three kinds of files; `{}` stands for the block's number."""

    gguf: str
    shape: tuple[str, ...]
    """Names of `Hyper.sizes`, the innermost first."""
    legacy: str = ""
    """Empty where legacy files do not have it."""
    checkpoint: str = ""
    legacy_order: Order | None = None
    checkpoint_order: Order | None = None
    transposed: bool = False
    """In checkpoints, which then hold input x output."""
    optional: bool = False
    whole: bool = False
    """It is small, and stays f32."""
    made: Callable[[Hyper], Floats] | None = None
    """What no file has, but llama.cpp's graph wants; nothing is written where it is empty."""

    def of(self, block: int) -> Weight:
        """The tensor of one block."""
        names = {name: getattr(self, name).replace("{}", str(block)) for name in ("gguf", "legacy", "checkpoint")}
        return replace(self, **names)

    def extent(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        return tuple(sizes[name] for name in self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """An architecture, under the name that `--arch` knows."""

    name: str
    weights: tuple[Weight, ...]
    legacy_hyper: Callable[[Mapping[str, float], Mapping[str, tuple[int, ...]]], Hyper] = _without_legacy
    """From the legacy file's numbers and its tensors' shapes (innermost first); may raise KeyError, ValueError."""
    layout: tuple[str, ...] = ()
    """The numbers at the head of a legacy file; one that is named twice must be the same both times. Empty where there
    are no such files."""
    containers: frozenset[str] = frozenset((GGML, RUSTFORMERS))
    gguf: str = ""
    """llama.cpp's name of the graph that computes it; empty where files are read, but not repacked."""
    model_type: str = ""
    """The name in a checkpoint's config.json; empty where checkpoints are not converted."""
    config_hyper: Callable[[Settings], Hyper] | None = None
    unused: tuple[str, ...] = ()
    """Endings of tensors of a checkpoint that the graph does without."""
    marks: frozenset[bytes] = frozenset()
    """Tokens by which it differs from another architecture of the same layout."""
    scored: bool = False
    """Whether each token has a score in every container, not only in ggmf and ggjt."""
    wide: bool = False
    """Whether legacy files may hold a token's bytes as the characters U+0000 to U+00FF."""
    pre: str = "gpt-2"
    """llama.cpp's name of how the architecture's own tokenizer splits a text."""
    word_pieces: bool = False
    """Whether its tokenizer is of the kind WordPiece."""
    rms: bool = False
    by_block: tuple[Weight, ...] = field(init=False)
    once: tuple[Weight, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_block", tuple(w for w in self.weights if "{}" in w.gguf))
        object.__setattr__(self, "once", tuple(w for w in self.weights if "{}" not in w.gguf))

    def tensors(self, layers: int) -> Iterator[Weight]:
        """Every tensor of a model of so many blocks."""
        yield from self.once
        for block in range(layers):
            yield from (weight.of(block) for weight in self.by_block)


def split(width: int, heads: int) -> int:
    """The width of a head."""
    if heads < 1 or width % heads:
        raise ValueError(f"a width of {width} cannot be shared by {heads} heads")
    return width // heads


def linear(
    gguf: str,
    shape: tuple[str, ...],
    legacy: str = "",
    checkpoint: str = "",
    *,
    suffixes: tuple[str, str] = (".weight", ".bias"),
    legacy_order: Order | None = None,
    checkpoint_order: Order | None = None,
    transposed: bool = False,
    optional_bias: bool = False,
) -> tuple[Weight, Weight]:
    """A layer's weight and its bias; `suffixes` are those of the legacy file."""

    def part(i: int, name: str, extent: tuple[str, ...]) -> Weight:
        return Weight(
            gguf + name,
            extent,
            legacy and legacy + suffixes[i],
            checkpoint and checkpoint + name,
            legacy_order,
            checkpoint_order,
            transposed and i == 0,
            optional_bias and i == 1,
        )

    return part(0, ".weight", shape), part(1, ".bias", shape[-1:])
