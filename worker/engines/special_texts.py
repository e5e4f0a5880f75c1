"""Texts of special tokens in what others wrote, where they are to stay text: tokenizers take them for the tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, takewhile

from shared.errors import InvalidRequest

BREAK = "\u200b"
"""ZERO WIDTH SPACE. Many vocabularies have a token for it, and no template trims it away within a word."""
_MARKS = range(0xF0000, 0x10FFFE)
"""Private characters, which no template touches and no tokenizer joins to others."""
_ANYBODYS = ("user", "tool")
"""Roles of messages that come from outside."""
_NOTHING = r"(?!)"
_DEEPEST = 16
"""Levels of a pattern, beyond which it is written as a list: a vocabulary may be made to need any number of them."""


class SpecialTexts:
    """Some of a vocabulary's. A token of a single character cannot be told from that: it is left out.

    What looks for them takes a time that grows with the text alone.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        known = sorted({text for text in texts if len(text) > 1})
        self._pattern = re.compile("|".join(_starts(known)) or _NOTHING, re.DOTALL)
        self._first = re.compile(_one_of(text[0] for text in known))
        self._edge = re.compile(_one_of(text[end] for text in known for end in (0, -1)))
        self._beginnings = frozenset(text[:end] for text in known for end in range(2, len(text)))
        self._longest = max(map(len, known), default=0)

    def cut(self, text: str) -> list[str]:
        """The text in parts, none of which has any: each is cut after its first character.

        So is the beginning of one at the end of the text, which what comes after it might complete.
        """
        return _cut(text, {*(found.end() for found in self._pattern.finditer(text)), *self._begun(text)})

    def cut_warily(self, text: str) -> list[str]:
        """The text in parts, cut wherever one might begin, and before it. Templates ask whether a text is blank."""
        return (
            _cut(text, ())
            if not text.strip()
            else _cut(text, [0, *(found.end() for found in self._first.finditer(text))])
        )

    def might_help(self, text: str) -> bool:
        """Whether the text might be a part of one, together with others."""
        return self._edge.search(text) is not None

    def count(self, texts: Iterable[str]) -> int:
        """How many there are."""
        return sum(1 for text in texts for _ in self._pattern.finditer(text))

    def find_gap(self, text: str, end: int) -> int:
        """Where none is cut in two: there, or before the one that may be."""
        found = self._pattern.search(text, max(0, end - self._longest + 1), end + self._longest)
        return min(end, found.start()) if found else end

    def _begun(self, text: str) -> Iterator[int]:
        for size in range(2, min(self._longest, len(text) + 1)):
            if text[-size:] in self._beginnings:
                yield len(text) - size + 1


class Specials:
    """Those of a model. No text becomes a token of those that `control` the conversation. Users' and tools', which may
    be anybody's, become no `markup` of the model's template either; what instructs the model, or is its own, may."""

    def __init__(self, control: Iterable[str] = (), markup: Iterable[str] = ()) -> None:
        known = tuple(control)
        self.control, self.every = SpecialTexts(known), SpecialTexts((*known, *markup))

    def cut(self, text: str, role: str) -> list[str]:
        """See `SpecialTexts.cut`: a text of a message of that role."""
        return (self.every if role in _ANYBODYS else self.control).cut(text)

    def go_on(self, texts: Sequence[str], written: Sequence[str]) -> list[str]:
        """Texts that follow each other, and after them what the model has written: tags and texts in turn, a tag
        first, which is a token where it is one."""
        *known, last = texts
        for number, part in enumerate(written):
            first, *others = self.cut(part, "assistant") if number % 2 else [part]
            *more, last = [last + first, *others]
            known += more
        return [*known, last]

    def break_specials(self, text: str, role: str = "user") -> str:
        """With an invisible character in each: for those who tokenise by themselves whatever they are given."""
        return BREAK.join(self.cut(text, role))


def choose_mark(texts: Iterable[str]) -> str:
    """A character that none of the texts has. Raises InvalidRequest where they have all that it might be."""
    used = set().union(*texts)
    for mark in map(chr, _MARKS):
        if mark not in used:
            return mark
    raise InvalidRequest("the messages have every one of Unicode's private characters", param="messages")


def _cut(text: str, places: Iterable[int]) -> list[str]:
    cuts = sorted(places)
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]


def _one_of(characters: Iterable[str]) -> str:
    return "|".join(map(re.escape, set(characters))) or _NOTHING


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
        begin = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(same[0], same[-1], strict=False)))
        rest = _any([text[len(begin) :] for text in same], depth + 1)
        branches.append(f"{re.escape(begin)}(?:{rest})" if rest else re.escape(begin))
    return "|".join(branches)
