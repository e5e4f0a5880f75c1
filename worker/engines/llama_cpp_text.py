"""Texts as tokens, by llama.cpp's tokenizer, which nobody can interrupt: a large text is given to it in parts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from shared.cancellation import NEVER, Cancellable
from shared.context import Room
from worker.engines.llama_cpp_server import LlamaServer

LARGEST_PART = 32_768
"""Characters of a part. Its time grows with the square of the control tokens that the text spells: 0.3 s for this."""
_SEAM = re.compile(r"(?<=[^\W\d_])(?= [^\W\d_])|(?<=\n)(?=\w)")
"""Where tokenizers end a word anyway: between a letter and the space before another, and after a line."""
_MARK = "\n"


class LlamaText:
    """`spaced`: its tokenizer puts a space before every text that it is given, also before one that goes on."""

    def __init__(self, server: LlamaServer, *, spaced: bool) -> None:
        self._server, self._spaced = server, spaced
        self._mark: list[int] = []

    def tokens(
        self, text: str, work: Cancellable = NEVER, *, begins: bool = True, room: Room | None = None
    ) -> list[int]:
        """The tokens of a prompt; of one that `begins`, and does not go on after others, also those that mark it.

        Raises ContextLengthExceeded as soon as they leave no room.
        """
        found: list[int] = []
        for number, part in enumerate(_parts(text)):
            if number and room:
                room.check(len(found), whole=False)
            found += self._ask(part, work, special=True) if begins and not number else self._more(part, work)
        if room:
            room.check(len(found))
        return found

    def _more(self, text: str, work: Cancellable) -> list[int]:
        """The tokens of a part that goes on after another."""
        if not self._spaced:
            return self._ask(text, work)
        if text.startswith(" "):  # which is put there
            return self._ask(text[1:], work)
        mark = self._mark = self._mark or self._ask(_MARK, NEVER)
        tokens = self._ask(_MARK + text, work)
        return tokens[len(mark) :] if tokens[: len(mark)] == mark else self._ask(text, work)

    def _ask(self, text: str, work: Cancellable, *, special: bool = False) -> list[int]:
        found: list[int] = self._server.ask("/tokenize", {"content": text, "add_special": special}, work)["tokens"]
        return found


def _parts(text: str) -> Iterator[str]:
    """At least one. Cut at the last seam of a part's second half, or where there is none at its end."""
    at = 0
    while len(text) - at > LARGEST_PART:
        end = at + LARGEST_PART
        end = max((seam.start() for seam in _SEAM.finditer(text, end - LARGEST_PART // 2, end)), default=end)
        yield text[at:end]
        at = end
    yield text[at:]
