"""A model's card: what it is, and what it may be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

LATEST = ":latest"
"""What Ollama's clients say behind a name that has no version."""


class Ability(StrEnum):
    """What a model may be asked for."""

    COMPLETION = "completion"
    CHAT = "chat"
    REASONING = "reasoning"
    """Its thoughts are told apart from what it answers."""
    EFFORT = "reasoning_effort"
    """It can be told how much to think."""
    TOOLS = "tools"
    INFILL = "infill"
    """It can fill a gap between two texts."""
    EMBEDDING = "embedding"
    RERANK = "rerank"
    """It tells how well a text answers a query."""


@dataclass(frozen=True, slots=True)
class Card:
    """What an engine tells about the model it holds; an *outline* of it, with gaps, before it is loaded."""

    id: str
    engine: str
    architecture: str
    context: int
    """Tokens of prompt and answer together that one slot can hold; 0 in an outline."""
    slots: int
    created: int
    """Unix time of the model file, in seconds; of the start where there is no file."""
    capabilities: tuple[str, ...] = ()
    """The abilities as they are written; another version may name more. Empty in an outline that does not tell."""
    aliases: tuple[str, ...] = ()
    """Further names by which requests may ask for it."""
    digest: str = ""
    """Eight hex digits over the model's files and vocabulary: the same token ids mean the same only where it is."""
    longest_piece: int = 0
    """Bytes of the longest text that one token stands for; 0 where nobody knows."""
    quantisation: str = ""
    """As its file says, such as `Q4_1`; empty where there is none, as in versions before. So the next four, or 0."""
    parameters: int = 0
    size: int = 0
    """Bytes of the model file."""
    base: str = ""
    """The id of the model of which it is an adapter; empty where it is none, as in versions before."""
    prepared_from: str = ""
    """What most weights of the model's own file are, where others are computed that were prepared from them."""
    trained_context: int = 0
    """Tokens that the model was trained for."""
    sampling: Mapping[str, float] = field(default_factory=dict)
    """What it recommends to requests that do not say how tokens are chosen, by the names of `Sampling`."""
    honours: tuple[str, ...] = ()
    """Which of `shared.protocol.FINE` its engine honours."""
    embedding: int = 0
    """Numbers of its vectors; 0 where it makes none, or nobody knows yet."""
    dimensions: tuple[int, ...] = ()
    """How many of the first of them may be asked for alone, beside all."""
    unkept: str = ""
    """Why its engine keeps nothing on disk of the prompts that it has read; empty where that is up to the settings."""

    @property
    def abilities(self) -> frozenset[Ability]:
        return frozenset(ability for ability in Ability if ability in self.capabilities)
