"""The text of an answer as it may be sent: whole characters, and nothing that may become a stop string."""

from __future__ import annotations

import codecs
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Released:
    """A piece of the answer, and the tokens that it is made of."""

    text: str
    tokens: tuple[int, ...] = ()
    logprob: float | None = None
    """Sum of the tokens'."""


class StopStrings:
    """Takes an answer token by token, and ends it before the first stop string."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self.stopped = False
        self._stops = stops
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._tokens: list[int] = []
        self._logprob = 0.0

    def hold(self, token: int, logprob: float) -> None:
        """A token without a text of its own: it goes out with what comes next."""
        self._tokens.append(token)
        self._logprob += logprob

    def add(self, piece: bytes, token: int, logprob: float) -> Released:
        """A token's bytes come; what can be sent now, which may be nothing."""
        self.hold(token, logprob)
        self._text += self._decoder.decode(piece)
        ends = [at for at in (self._text.find(stop) for stop in self._stops) if at >= 0]
        if ends:
            self.stopped = True
            self._text = self._text[: min(ends)]
            return Released("")
        if self._decoder.getstate()[0] or self._may_stop():
            return Released("")
        return self._release()

    def rest(self) -> Released:
        """What was held back, at the end; the broken character, too, which is lost."""
        if not self.stopped:
            self._text += self._decoder.decode(b"", final=True)
        return self._release()

    def _may_stop(self) -> bool:
        """Whether the end of the text is the beginning of a stop string."""
        longest = max(map(len, self._stops), default=0)
        tails = [self._text[-size:] for size in range(1, min(longest, len(self._text)) + 1)]
        return any(stop.startswith(tail) for stop in self._stops for tail in tails)

    def _release(self) -> Released:
        if not self._text and not self._tokens:
            return Released("")
        released = Released(self._text, tuple(self._tokens), self._logprob)
        self._text, self._tokens, self._logprob = "", [], 0.0
        return released
