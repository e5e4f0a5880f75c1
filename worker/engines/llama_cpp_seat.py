"""One slot of llama.cpp, and what it knows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.engines.cells import Share
from worker.engines.llama_cpp_server import LlamaServer

EVERYBODY = "\0public"
"""The owner of what is the same whoever uses it."""
turns = itertools.count()
"""One for each run that ends."""


@dataclass(eq=False, slots=True)
class Seat:
    """One slot: whose prompts it may know, and the tokens that it has."""

    number: int
    server: LlamaServer
    """Every request to it is computed in this slot."""
    holder: tuple[str, str] | None = None
    """The owner and the key of `Caching`; None while it is empty, or taken by nobody yet."""
    tokens: Sequence[int] = ()
    """Of its last run, as far as it was told them."""
    cells: int = 0
    """How many it takes."""
    known: int = 0
    """How many tokens of its run's prompt it had before that."""
    life: int = 0
    """Of the host that has computed them: another one knows nothing of them."""
    taken: bool = False
    emptied: bool = False
    """It is being emptied: until that is done it has cells that nobody can have."""
    seated: bool = False
    """Its run is there: whenever that is outside of the cells, others may have the seat emptied."""
    asked: int = 0
    """Tokens of the prompt of its last run: an answer comes after them."""
    author: str = ""
    """Of that."""
    kept: bool = False
    """What it knows may come to disk, and was not kept from it yet."""
    left: int = 0
    """How many tokens all seats had computed when its run ended."""
    turn: int = field(default_factory=lambda: next(turns))
    since: float = 0.0
    """When its run began (monotonic)."""
    share: Share = field(default_factory=Share)
    """Of the cells, which its run has: from when it restores something until its end."""
    read: int = 0
    """Tokens of the prompt that its run has read, beside those of its last request."""

    def hold(self, tokens: Sequence[int], cells: int) -> None:
        self.tokens, self.cells = tokens, cells

    @property
    def public(self) -> bool:
        """What is asked there is everybody's; an answer is never."""
        return self.holder is not None and self.holder[0] == EVERYBODY

    def forget(self) -> None:
        self.holder = None
        self.hold((), 0)

    def betrays(self, prompt: Sequence[int], owner: str) -> bool:
        """Whether the prompt goes on where another one's was answered: by what is known of it he could tell how."""
        return self.public and self.author != owner and 0 < self.asked <= common(self.tokens, prompt)


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
