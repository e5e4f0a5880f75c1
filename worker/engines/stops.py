"""The text of an answer as it may be sent: whole characters, and nothing that may become a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass


class StopStrings:
    """What ends an answer."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops

    def cut(self, text: str) -> str | None:
        """The text before the first of them; None where there is none."""
        found = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        return text[: min(found)] if found else None

    def may_follow(self, text: str) -> bool:
        """Whether the end of the text is the beginning of one."""
        return any(text.endswith(stop[:size]) for stop in self._stops for size in range(1, len(stop)))


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the answer that can be sent, and the tokens that it is made of."""

    text: str
    tokens: tuple[int, ...]
    logprob: float
    """Sum of the tokens'."""


class Spelling:
    """Takes an answer token by token, and ends it before the first stop string.

    Tokens are held back until their text ends with a whole character that cannot belong to a stop string.
    """

    def __init__(self, stops: StopStrings) -> None:
        self.stopped = False
        """A stop string has come; what was before it is the `rest`."""
        self._stops = stops
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._tokens: list[int] = []
        self._logprob = 0.0

    def __len__(self) -> int:
        """How many tokens are held back."""
        return len(self._tokens)

    def hold(self, token: int, logprob: float = 0.0) -> None:
        """A token without a text of its own comes: it goes out with the next that has one."""
        self._tokens.append(token)
        self._logprob += logprob

    def add(self, text: bytes, token: int, logprob: float = 0.0) -> Piece | None:
        """A token comes, with its text. What can be sent now; None while nothing can."""
        self.hold(token, logprob)
        self._text += self._decoder.decode(text)
        if (before := self._stops.cut(self._text)) is not None:
            self.stopped, self._text = True, before
            return None
        unfinished = self._decoder.getstate()[0] or self._stops.may_follow(self._text)
        return None if unfinished or not self._text else self.rest()

    def rest(self) -> Piece:
        """What is held back, at the end; a character that is not whole is lost."""
        piece = Piece(self._text, tuple(self._tokens), self._logprob)
        self._text, self._tokens, self._logprob = "", [], 0.0
        return piece
