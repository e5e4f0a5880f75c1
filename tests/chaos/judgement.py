"""What became of a request, judged by the text of its answer."""

from __future__ import annotations

import re
from enum import StrEnum
from itertools import takewhile
from operator import eq

from tests.chaos.plan import Request


class Fate(StrEnum):
    """What became of a request."""

    ANSWERED = "answered"
    CANCELLED = "cancelled"
    LOST = "lost"
    """Not answered, or not to its end."""
    DOUBLED = "doubled"
    """Parts came twice."""
    CROSSED = "crossed"
    """Parts of another's answer came."""
    GAP = "gap"
    """Parts are missing before others."""


_WORD = re.compile(r"(\d+)\.(\d+);")
"""Whose it is, and which: `17.3;`."""


def difference(text: str, expected: str) -> str:
    """Where two texts begin to differ, in words."""
    same = len(list(takewhile(bool, map(eq, text, expected))))
    return f"after {text[max(0, same - 30) : same]!r}: {text[same : same + 40]!r}, not {expected[same : same + 40]!r}"


def judge(request: Request, text: str) -> Fate:
    """Judge the whole text of an answer. An echo's words tell whose they are, and which."""
    if text == request.expected:
        return Fate.ANSWERED
    got, expected = text.split(), request.expected.split()
    words = _WORD.findall(text)
    if any(number != str(request.number) for number, _ in words):
        return Fate.CROSSED
    if len(got) > len(expected) or len(set(words)) < len(words):
        return Fate.DOUBLED
    return Fate.LOST if request.expected.startswith(text) else Fate.GAP
