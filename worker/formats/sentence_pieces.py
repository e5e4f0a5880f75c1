"""SentencePiece over a legacy file's vocabulary: the pair with the best score is merged first."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from worker.formats.tokenizer import CONTROL

_WORDS = re.compile(r" *[^ ]+| +")
_LONGEST = 128


class SentencePieces:
    """Encodes texts; bytes that no token spells become byte tokens, or the unknown token 0."""

    def __init__(self, vocabulary: Sequence[bytes], scores: Sequence[float], *, spaced: bool) -> None:
        """`spaced`: a space is put before a text that does not begin with one of its own."""
        self._begin = " " if spaced else ""
        self._places = {token: i for i, token in reversed(list(enumerate(vocabulary)))}
        self._scores = scores
        control = [re.escape(token.decode()) for token in set(vocabulary) if CONTROL.fullmatch(token)]
        self._control = re.compile(f"({'|'.join(sorted(control, key=len, reverse=True))})") if control else None
        self._word = functools.lru_cache(100_000)(self._encode_word)

    def encode(self, text: str) -> list[int]:
        tokens: list[int] = []
        for i, part in enumerate(self._control.split(text) if self._control else [text]):
            if i % 2:
                tokens.append(self._places[part.encode()])
                continue
            for word in _WORDS.findall(part if i else self._begin + part):
                for start in range(0, len(word), _LONGEST):
                    tokens += self._word(word[start : start + _LONGEST])
        return tokens

    def _encode_word(self, word: str) -> list[int]:
        parts = [letter.encode() for letter in word]
        while len(parts) > 1:
            pairs = [(self._places.get(parts[i] + parts[i + 1]), -i) for i in range(len(parts) - 1)]
            known = [(self._scores[place], back) for place, back in pairs if place is not None]
            if not known:
                break
            at = -max(known)[1]
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        return [token for part in parts for token in self._known(part)]

    def _known(self, part: bytes) -> list[int]:
        if part in self._places:
            return [self._places[part]]
        return [self._places.get(bytes([byte]), 0) for byte in part]
