"""Texts of special tokens in what others wrote, where they are to stay text: tokenizers take them for the tokens."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from itertools import groupby

BREAK = "\u200b"
"""ZERO WIDTH SPACE. Many vocabularies have a token for it, and no template trims it away within a word."""
_MARKS = range(0xF0000, 0xFFFFE)
"""Private characters, which no template touches and no tokenizer joins to others."""
_DEEPEST = 16
"""Levels of a pattern, beyond which it is written as a list: a vocabulary may be made to need any number of them."""


class SpecialTexts:
    """Those of a vocabulary. A token of a single character cannot be told from that: it is left out.

    What looks for them takes a time that grows with the text alone.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        known = sorted({text for text in texts if len(text) > 1})
        self._pattern = re.compile("|".join(_starts(known)) or r"(?!)", re.DOTALL)
        self._beginnings = frozenset(text[:end] for text in known for end in range(2, len(text)))
        self._longest = max(map(len, known), default=0)

    def break_specials(self, text: str) -> str:
        """With an invisible character in each: for those who tokenise by themselves whatever they are given."""
        return self.mark(text, BREAK)

    def mark(self, text: str, mark: str) -> str:
        """With the mark after the first character of each, so that no part between two marks has any.

        So it is with the beginning of one at the end of the text, which what comes after it may complete.
        """
        cuts = sorted({found.end() for found in self._pattern.finditer(text)}.union(self._begun(text)))
        if not cuts:
            return text
        return mark.join(text[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True))

    def _begun(self, text: str) -> Iterator[int]:
        for size in range(2, min(self._longest, len(text) + 1)):
            if text[-size:] in self._beginnings:
                yield len(text) - size + 1


def choose_mark(texts: Iterable[str]) -> str:
    """A character that none of the texts has. Where they have all that can be taken, it is one that may stay there."""
    used = set().union(*texts)
    return next((mark for mark in map(chr, _MARKS) if mark not in used), BREAK)


def _starts(texts: list[str]) -> Iterator[str]:
    """Patterns of the first characters of sorted texts, each where the rest of one of them follows."""
    for first, group in groupby(texts, lambda text: text[0]):
        yield f"{re.escape(first)}(?={_any([text[1:] for text in group])})"


def _any(texts: list[str], depth: int = 0) -> str:
    """The pattern of what begins with any of some sorted texts."""
    if not texts[0]:
        return ""
    if depth == _DEEPEST:
        return "|".join(map(re.escape, texts))
    branches = []
    for _, group in groupby(texts, lambda text: text[0]):
        same = list(group)
        begin = os.path.commonprefix(same)
        rest = _any([text[len(begin) :] for text in same], depth + 1)
        branches.append(f"{re.escape(begin)}(?:{rest})" if rest else re.escape(begin))
    return "|".join(branches)
