"""SentencePiece over a legacy file's vocabulary: the pair with the best score is merged first."""

from __future__ import annotations

import re
from collections.abc import Sequence

from worker.formats.text_encoder import TextEncoder

_WORDS = re.compile(r" *[^ ]+| +")


class SentencePieces(TextEncoder):
    """Bytes that no token spells become byte tokens, or the unknown token 0."""

    def __init__(self, vocabulary: Sequence[bytes], scores: Sequence[float], *, spaced: bool) -> None:
        """`spaced`: a space is put before a text, as Llama's own does."""
        super().__init__(vocabulary, _WORDS, self._encode_word, " " if spaced else "")
        self._scores = scores

    def _encode_word(self, word: str) -> list[int]:
        parts = [letter.encode() for letter in word]
        while len(parts) > 1:
            pairs = [(self.places.get(parts[i] + parts[i + 1]), -i) for i in range(len(parts) - 1)]
            known = [(self._scores[place], back) for place, back in pairs if place is not None]
            if not known:
                break
            at = -max(known)[1]
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return [token for part in parts for token in self._known(part)]

    def _known(self, part: bytes) -> list[int]:
        if part in self.places:
            return [self.places[part]]
        return [self.places.get(bytes([byte]), 0) for byte in part]
