"""Text out of tokens, where llama.cpp's own text does not tell which tokens it was made of."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from typing import NamedTuple

Spell = Callable[[Sequence[int]], bytes]
"""The bytes of tokens."""


class Piece(NamedTuple):
    text: str
    tokens: tuple[int, ...]
    stopped: bool = False
    """A stop string came next, and has been taken away."""


class Spelling:
    """Holds tokens back until their text ends with a whole character that cannot belong to a stop string."""

    def __init__(self, spell: Spell, stops: Sequence[str]) -> None:
        self._spell, self._stops = spell, stops
        self._held: list[int] = []

    def __len__(self) -> int:
        """How many tokens are held back."""
        return len(self._held)

    def add(self, token: int) -> Piece | None:
        """The text that is certain with one more token; None while none is."""
        self._held.append(token)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(self._spell(self._held))
        found = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        if found:
            return self._release(text[: min(found)], stopped=True)
        unfinished = decoder.getstate()[0] or any(
            text.endswith(stop[:length]) for stop in self._stops for length in range(1, len(stop))
        )
        return None if unfinished else self._release(text)

    def rest(self, *ending: int) -> Piece:
        """What is left at the end, with tokens that have no text; a character that is not whole is lost."""
        text = codecs.getincrementaldecoder("utf-8")("replace").decode(self._spell(self._held))
        self._held += ending
        return self._release(text)

    def _release(self, text: str, *, stopped: bool = False) -> Piece:
        tokens, self._held = tuple(self._held), []
        return Piece(text, tokens, stopped)
