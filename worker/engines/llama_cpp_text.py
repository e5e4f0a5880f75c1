"""Texts as tokens, by llama.cpp's tokenizer, which nobody can interrupt: a large text is given to it in parts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from shared.cancellation import NEVER, Cancellable
from shared.context import Room
from worker.engines.special_texts import SpecialTexts

LARGEST_PART = 32_768
"""Characters that it is given at once. Its time grows with the square of the special tokens that a part spells: 0.3 s
for this."""
_SEAM = re.compile(r"(?<=[^\W\d_])(?= [^\W\d_])|(?<=\n)(?=\w)")
"""Where tokenizers end a word anyway: between a letter and the space before another, and after a line."""
_MARK, _LETTER = "\n", "a"
_END = -1
"""Comes after the tokens of each text: llama.cpp passes on any number that it is given among texts."""


class TextServer(Protocol):
    """What tokenizes."""

    def ask(self, path: str, body: Mapping[str, Any], work: Cancellable) -> Any:
        """The answer of llama.cpp's server to a question at `/tokenize`."""


class LlamaText:
    """`spaced`: its tokenizer puts a space before every text that it is given, also before one that goes on. `ended`:
    what it puts after a text belongs to it, for nothing goes on after it."""

    def __init__(self, server: TextServer, *, spaced: bool, ended: bool = False) -> None:
        self.specials = SpecialTexts(())
        """Those that are tokens in the texts that it is given, once they are known."""
        self._server, self._spaced, self._ended = server, spaced, ended
        self._around: tuple[list[int], list[int]] | None = None
        self._mark: list[int] = []

    def tokens(
        self,
        texts: str | Sequence[str],
        work: Cancellable = NEVER,
        *,
        begins: bool = True,
        special: bool = True,
        parse_special: bool = True,
        room: Room | None = None,
    ) -> list[int]:
        """The tokens of a prompt, whose texts follow each other: no token is made of two of them.

        One that `begins`, and does not go on after others, has those that mark it, unless it is to have no `special`
        ones. Without `parse_special` a text that is the name of one is a text. Raises ContextLengthExceeded as soon as
        they leave no room.
        """
        texts = [texts] if isinstance(texts, str) else texts
        found: list[int] = []
        for number, parts in enumerate(_batches(part for text in texts for part in self._parts(text))):
            if number and room:
                room.check(len(found), whole=False)
            if begins and not number:
                [first] = self._ask(parts[:1], work, special=parse_special)
                found += self._begin(first, work) if special else first
                parts = parts[1:]
            for tokens in self._more(parts, work, special=parse_special):
                found += tokens
        if begins and special:
            found += self.around(work)[1]
        if room:
            room.check(len(found))
        return found

    def find_specials(self, texts: Sequence[str]) -> list[str]:
        """Which of these texts are special tokens, or have some."""
        return [
            text
            for batch in _batches(texts)
            for text, parsed, plain in zip(batch, self._ask(batch), self._ask(batch, special=False), strict=True)
            if parsed != plain
        ]

    def beginning(self, work: Cancellable = NEVER) -> list[int]:
        """The tokens that mark the beginning of a prompt."""
        return self.around(work)[0]

    def around(self, work: Cancellable = NEVER) -> tuple[list[int], list[int]]:
        """Those, and the ones that mark its end where it is `ended`: what goes on has none."""
        if self._around is None:
            (plain,), (marked,) = self._ask([_LETTER], work), self._ask([_LETTER], work, begins=True)
            before = [] if marked[: len(plain)] == plain else marked[:1]
            self._around = before, marked[len(before) + len(plain) :] if self._ended else []
        return self._around

    def _begin(self, tokens: list[int], work: Cancellable) -> list[int]:
        """With the beginning that the tokenizer gives a text, unless it has that itself."""
        beginning = self.beginning(work)
        return tokens if tokens[: len(beginning)] == beginning else beginning + tokens

    def _more(self, parts: list[str], work: Cancellable, *, special: bool) -> Iterator[list[int]]:
        """The tokens of parts that go on after others."""
        if not self._spaced:
            yield from self._ask(parts, work, special=special)
            return
        # A space is put before each: where none belongs, a mark keeps it off.
        mark = self._mark = self._mark or self._ask([_MARK], work)[0]
        put = [len(part) > 1 and part.startswith(" ") for part in parts]
        asked = [part[1:] if space else _MARK + part for part, space in zip(parts, put, strict=True)]
        for part, space, tokens in zip(parts, put, self._ask(asked, work, special=special), strict=True):
            if space:
                yield tokens
            elif tokens[: len(mark)] == mark:
                yield tokens[len(mark) :]
            else:
                yield self._ask([part], work, special=special)[0]

    def _ask(
        self, texts: Sequence[str], work: Cancellable = NEVER, *, begins: bool = False, special: bool = True
    ) -> list[list[int]]:
        """The tokens of each text. The first one `begins` with what marks that, where special ones are parsed."""
        content = [entry for text in texts for entry in (text, _END)]
        body = {"content": content, "add_special": begins, "parse_special": special}
        found: list[list[int]] = [[]]
        for token in self._server.ask("/tokenize", body, work)["tokens"] if texts else ():
            if token == _END:
                found.append([])
            else:
                found[-1].append(token)
        return found[:-1]

    def _parts(self, text: str) -> Iterator[str]:
        """At least one. Cut at the last seam of a part's second half, or where there is none at its end, and never
        within a special token."""
        at = 0
        while len(text) - at > LARGEST_PART:
            end = at + LARGEST_PART
            end = max((seam.start() for seam in _SEAM.finditer(text, end - LARGEST_PART // 2, end)), default=end)
            end = max(at + 1, self.specials.find_gap(text, end))
            yield text[at:end]
            at = end
        yield text[at:]


def _batches(parts: Iterable[str]) -> Iterator[list[str]]:
    """As many of them at once as are no larger together than one may be."""
    batch: list[str] = []
    size = 0
    for part in parts:
        if batch and size + len(part) > LARGEST_PART:
            yield batch
            batch, size = [], 0
        batch.append(part)
        size += len(part)
    yield batch
