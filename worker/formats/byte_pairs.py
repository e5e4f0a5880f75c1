"""Byte-level BPE over a legacy file's vocabulary."""

from __future__ import annotations

import re
from collections.abc import Sequence

from worker.formats.text_encoder import TextEncoder

_WORDS = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
"""How GPT-2 splits a text before it merges."""


class BytePairs(TextEncoder):
    """A token's number is its rank: the earlier of two merges was learnt first."""

    def __init__(self, vocabulary: Sequence[bytes]) -> None:
        super().__init__(vocabulary, _WORDS, self._encode_word)

    def _encode_word(self, word: str) -> list[int]:
        parts = [bytes([byte]) for byte in word.encode()]
        while len(parts) > 1:
            least, at = min((self.places.get(parts[i] + parts[i + 1], 1 << 30), i) for i in range(len(parts) - 1))
            if least == 1 << 30:
                break
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return [self.places[part] for part in parts if part in self.places]
