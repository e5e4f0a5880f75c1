"""Byte-level BPE over a legacy file's vocabulary."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from worker.formats.tokenizer import CONTROL

_WORDS = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
"""How GPT-2 splits a text before it merges."""
_LONGEST = 128
"""Letters that are merged at once: a longer run is no word, and would take a time that grows with its square."""


class BytePairs:
    """Encodes texts. A token's number is its rank: the earlier of two merges was learnt first."""

    def __init__(self, vocabulary: Sequence[bytes]) -> None:
        self._rank = {token: i for i, token in reversed(list(enumerate(vocabulary)))}
        control = [re.escape(token.decode()) for token in set(vocabulary) if CONTROL.fullmatch(token)]
        self._control = re.compile(f"({'|'.join(sorted(control, key=len, reverse=True))})") if control else None
        self._word = functools.lru_cache(100_000)(self._encode_word)

    def encode(self, text: str) -> list[int]:
        """The tokens; those that stand for a turn or an end are taken where the text spells them."""
        tokens: list[int] = []
        for i, part in enumerate(self._control.split(text) if self._control else [text]):
            if i % 2:
                tokens.append(self._rank[part.encode()])
                continue
            for word in _WORDS.findall(part):
                for start in range(0, len(word), _LONGEST):
                    tokens += self._word(word[start : start + _LONGEST])
        return tokens

    def _encode_word(self, word: str) -> list[int]:
        parts = [bytes([byte]) for byte in word.encode()]
        while len(parts) > 1:
            least, at = min((self._rank.get(parts[i] + parts[i + 1], 1 << 30), i) for i in range(len(parts) - 1))
            if least == 1 << 30:
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return [self._rank[part] for part in parts if part in self._rank]
