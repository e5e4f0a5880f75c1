"""What a model reads that tells how well a document answers a query, as llama.cpp's own server puts them together."""

from __future__ import annotations

import re
from collections.abc import Sequence

from worker.engines.pooling_wire import Piece, PooledInput
from worker.engines.special_texts import Specials

_GIVEN = re.compile(r"\{(query|document)\}")


class PairReader:
    """`template` is the model's own, where it has one; the `marks` stand before, between and after both otherwise. No
    text of theirs is one of the `specials`."""

    def __init__(self, template: str, marks: Sequence[list[int]], specials: Specials) -> None:
        self._template, self._marks, self._specials = template, marks, specials

    def join(self, query: str, document: str) -> PooledInput:
        """As it is meant: where a text begins within a template, the tokens before it may be others."""
        if not self._template:
            before, between, after = self._marks
            return PooledInput([before, query, between, document, after], 3)
        return PooledInput([*self._fill(self._template, query, document)], marked=True)

    def split(self, query: str, document: list[int], cut: int | None) -> PooledInput:
        """With the document as a piece of its own, which can be cut off."""
        if not self._template:
            before, between, after = self._marks
            return PooledInput([before, query, between, document, after], 3, cut)
        start, _, end = self._template.partition("{document}")
        pieces: list[Piece] = [*self._fill(start, query, "")]
        return PooledInput([*pieces, document, *self._fill(end, query, "")], len(pieces), cut, marked=True)

    def _fill(self, template: str, query: str, document: str) -> list[str]:
        """Texts that follow each other, none of which has a special token that the template does not have."""
        texts = [""]
        for number, part in enumerate(_GIVEN.split(template)):
            given = query if part == "query" else document
            first, *others = self._specials.cut(given, "user") if number % 2 else [part]
            texts[-1] += first
            texts += others
        return texts
