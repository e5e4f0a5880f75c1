"""What the echo engine has read before: it plays the cache of an engine that reads slowly, and no part twice."""

from __future__ import annotations

import threading
from collections.abc import Sequence


class EchoMemory:
    """The last texts that were read or written, as many as the engine has slots."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._texts: list[list[str]] = []
        """The words of each; the one that was of use last stands last."""
        self._lock = threading.Lock()

    def read(self, words: Sequence[str]) -> int:
        """How many words of a prompt were known, all but its last one at most; from now on all of them are."""
        with self._lock:
            known = max((_common(text, words) for text in self._texts), default=0)
            self._keep(words)
        return min(known, max(0, len(words) - 1))

    def keep(self, words: Sequence[str]) -> None:
        """A text was written to its end."""
        with self._lock:
            self._keep(words)

    def _keep(self, words: Sequence[str]) -> None:
        others = [text for text in self._texts if _common(text, words) < len(text)]  # one that it goes on from is in it
        self._texts = [*others, list(words)][-self._most :]


def _common(text: Sequence[str], other: Sequence[str]) -> int:
    """How many words both begin with."""
    return next(
        (place for place, (one, two) in enumerate(zip(text, other, strict=False)) if one != two),
        min(len(text), len(other)),
    )
