"""From texts to the tokens of a legacy file's vocabulary: what byte-level BPE and SentencePiece have in common."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence

from shared.cancellation import NEVER, Cancellable, check
from shared.context import Room
from worker.formats.tokenizer import CONTROL

_LONGEST = 128
"""Letters that are merged at once: a longer run is no word, and would take a time that grows with its square."""


class TextEncoder:
    """Splits a text into `words` and has each turned into tokens by `encode_word`, which is asked once for each.

    `begin` is put before a text.
    """

    def __init__(
        self,
        vocabulary: Sequence[bytes],
        words: re.Pattern[str],
        encode_word: Callable[[str], list[int]],
        begin: str = "",
    ) -> None:
        self.places = {token: i for i, token in reversed(list(enumerate(vocabulary)))}
        self.control = frozenset(token.decode() for token in vocabulary if CONTROL.fullmatch(token))
        """The tokens that stand for a turn or an end."""
        either = "|".join(map(re.escape, sorted(self.control, key=len, reverse=True)))
        self._control = re.compile(f"({either})") if either else None
        self._words, self._begin = words, begin
        self._word = functools.lru_cache(100_000)(encode_word)

    def encode(
        self,
        text: str,
        work: Cancellable = NEVER,
        *,
        begins: bool = True,
        parse_special: bool = True,
        room: Room | None = None,
    ) -> list[int]:
        """The tokens; those that stand for a turn or an end, `control`, are taken where the text spells them, unless it
        is to be a text.

        Not every text `begins` something: one may go on after another. Raises ContextLengthExceeded as soon as they
        leave no room, and JobCancelled once `work` is cancelled.
        """
        begin = self._begin if begins else ""
        tokens: list[int] = []
        for i, part in enumerate(self._control.split(text) if self._control and parse_special else [text]):
            if i % 2:
                tokens.append(self.places[part.encode()])
                continue
            for found in self._words.finditer(part if i else begin + part):
                word = found[0]
                for start in range(0, len(word), _LONGEST):
                    check(work)
                    if room:
                        room.check(len(tokens), whole=False)
                    tokens += self._word(word[start : start + _LONGEST])
        return tokens
