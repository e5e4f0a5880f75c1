"""WordPiece, as BERT reads texts: llama.cpp's own loses vowels of Indian scripts, and the ends of Korean syllables."""

from __future__ import annotations

import functools
import re
import string
import unicodedata
from collections.abc import Callable
from pathlib import Path

from worker.formats.gguf import Header
from worker.formats.vocabulary import TokenKind, words

_BEGIN = "\u2581"
"""llama.cpp writes it before a piece that begins a word."""
_LONGEST = 100
"""Letters of a word; a longer one is unknown."""
_WORDS = 50_000
"""Whose tokens are remembered."""
_IDEOGRAPHS = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F)),
    *((0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)
"""Each of them is a word."""
_BASIC = 0x10000


class WordPieces:
    """That of a GGUF file whose tokenizer is `bert`."""

    def __init__(self, path: Path, header: Header) -> None:
        lowercase = header.metadata.get("tokenizer.ggml.normalizer.lowercase") is not False
        strips = header.metadata.get("tokenizer.ggml.normalizer.strip_accents", lowercase) is True
        self._strips = strips
        self._clean, self._split = _LetterMap(_clean), _LetterMap(functools.partial(_split, lowercase, strips))
        self._beginnings: dict[str, int] = {}
        self._others: dict[str, int] = {}
        self._control: dict[str, int] = {}
        for token, (word, kind) in enumerate(words(path)):
            text = word.decode(errors="replace")
            if kind == TokenKind.CONTROL:
                self._control[text] = token
            elif text.startswith(_BEGIN):
                self._beginnings[text.removeprefix(_BEGIN)] = token
            elif kind != TokenKind.UNUSED:
                self._others[text] = token
        either = "|".join(map(re.escape, sorted(self._control, key=len, reverse=True)))
        self._names = re.compile(f"({either})") if either else None
        self._unknown = header.special("unknown") or 0
        self._word = functools.lru_cache(_WORDS)(self._encode_word)

    def encode(self, text: str, *, special: bool) -> list[int]:
        """The tokens, without what the model puts around a text; where `special` ones count, their names are those."""
        tokens: list[int] = []
        for i, part in enumerate(self._names.split(text) if self._names and special else [text]):
            if i % 2:
                tokens.append(self._control[part])
                continue
            clean = part.translate(self._clean)
            if self._strips:
                clean = unicodedata.normalize("NFD", clean)
            for word in clean.translate(self._split).split(" "):
                tokens += self._word(word) if word else ()
        return tokens

    def _encode_word(self, word: str) -> tuple[int, ...]:
        """The longest pieces from its beginning on, or the unknown token."""
        if len(word) > _LONGEST:
            return (self._unknown,)
        found: list[int] = []
        start, known = 0, self._beginnings
        while start < len(word):
            ends = (end for end in range(len(word), start, -1) if word[start:end] in known)
            if not (end := next(ends, 0)):
                return (self._unknown,)
            found.append(known[word[start:end]])
            start, known = end, self._others
        return tuple(found)


class _LetterMap(dict[int, str]):
    """What becomes of each letter."""

    def __init__(self, become: Callable[[str], str]) -> None:
        super().__init__()
        self._become = become

    def __missing__(self, code: int) -> str:
        letter = self._become(chr(code))
        if code < _BASIC:
            self[code] = letter
        return letter


def _clean(letter: str) -> str:
    """Without what is none, white space as a space, and ideographs apart."""
    if letter in "\t\n\r":
        return " "
    if letter == "\ufffd" or unicodedata.category(letter) in ("Cc", "Cf", "Co", "Cs"):
        return ""
    if letter.isspace():
        return " "
    return f" {letter} " if any(first <= ord(letter) <= last for first, last in _IDEOGRAPHS) else letter


def _split(lowercase: bool, strips: bool, letter: str) -> str:
    """Without accents, small, and punctuation apart."""
    kind = unicodedata.category(letter)
    if strips and kind == "Mn":
        return ""
    if kind.startswith("P") or letter in string.punctuation:
        return f" {letter} "
    return letter.lower() if lowercase else letter
