"""What llama.cpp reads before it fills a gap, as tokens: what its own server would make of the same texts.

    REP myproject  SEP name  passage …  SEP filename  BOS  PRE prompt line  SUF suffix  MID

Of the names only those that the vocabulary has tokens for are there. Some models want the suffix before the prompt. No
text becomes a special token.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from shared.cancellation import NEVER, Cancellable
from shared.context import Room
from shared.protocol import FineCompletion, Passage, Prompt
from worker.engines.llama_cpp_prompt import PromptReader
from worker.engines.llama_cpp_text import LlamaText
from worker.engines.special_texts import Specials
from worker.formats.infill import InfillTokens

MOST_TOKEN_CHARACTERS = 8
"""Characters that are looked at for each token that there is room for, where a text may be trimmed: code has two to
four a token."""
_REPOSITORY, _FILE = "myproject\n", "filename\n"
_SNIPPET = "\n\n--- snippet ---\n\n"


@dataclass(frozen=True, slots=True)
class _Parts:
    """What stands around a gap, and beside it."""

    before: list[int]
    after: list[int]
    beside: list[int]
    trimmed: bool


class GapReader:
    """Of one model, which has these `tokens`; `suffix_first`: what comes after the gap it reads first."""

    def __init__(
        self, text: LlamaText, specials: Specials, reader: PromptReader, tokens: InfillTokens, *, suffix_first: bool
    ) -> None:
        self._text, self._specials, self._reader, self._infill = text, specials, reader, tokens
        self._suffix_first = suffix_first

    def read(self, task: FineCompletion, context: int, work: Cancellable) -> tuple[list[int], bool]:
        """The tokens, and whether something was left out of them.

        Raises ContextLengthExceeded where that may not be, as soon as they leave no room for an answer.
        """
        begin, mark = self._text.beginning(work), self._infill
        frame = len(self._repository) + len(self._file) + len(begin) + 3
        parts = self._trim(task, context, frame, work) if task.trims else self._take(task, context, work)
        around = [[mark.prefix, *parts.before], [mark.suffix, *parts.after]]
        first, then = reversed(around) if self._suffix_first else around
        tokens = [*self._repository, *parts.beside, *self._file, *begin, *first, *then, mark.middle]
        Room(context, "suffix").check(len(tokens))
        return tokens, parts.trimmed

    def _take(self, task: FineCompletion, context: int, work: Cancellable) -> _Parts:
        """All of it. Raises ContextLengthExceeded."""
        before = self._tokens(task.prompt[0], work, Room(context, "prompt"))
        before += self._tokens(task.line, work, Room(context, "prompt"))
        after = self._tokens(task.suffix or "", work, Room(context, "suffix"))
        beside = [token for passage in task.beside for token in self._passage(passage, work)]
        return _Parts(before, after, beside, trimmed=False)

    def _trim(self, task: FineCompletion, context: int, frame: int, work: Cancellable) -> _Parts:
        """What has room beside the `frame` and the answer.

        Which passages have depends on nothing else: else what was read of them could not be used again.
        """
        beside, left_out = self._passages(task.beside, context // 2 - frame, work)
        room = max(0, context - 1 - frame - len(beside) - min(task.sampling.max_tokens or 1, context // 4))
        line, cut_line = self._last(task.line, room, work)
        room -= len(line)
        before, cut_before = self._last(task.prompt[0], room, work)
        after, cut_after = self._first(task.suffix or "", max(room // 4, room - len(before)), work)
        most = room - len(after)
        cut_before = cut_before or len(before) > most
        trimmed = left_out or cut_line or cut_before or cut_after
        return _Parts([*before[max(0, len(before) - most) :], *line], after, beside, trimmed=trimmed)

    def _passages(self, passages: Sequence[Passage], room: int, work: Cancellable) -> tuple[list[int], bool]:
        """The last of them that have room, in their order, each as a whole, and whether some have not."""
        found: list[int] = []
        for passage in reversed(passages):
            if len(passage.name) + len(passage.text) > room * MOST_TOKEN_CHARACTERS:
                return found, True
            tokens = self._passage(passage, work)
            room -= len(tokens)
            if room < 0:
                return found, True
            found = tokens + found
        return found, False

    def _passage(self, passage: Passage, work: Cancellable) -> list[int]:
        mark, title = self._infill.file, self._snippet
        if mark is not None:
            title = [mark, *self._tokens(f"{passage.name}\n", work)]
        return [*title, *self._tokens(passage.text, work)]

    def _last(self, given: Prompt, room: int, work: Cancellable) -> tuple[list[int], bool]:
        """The last `room` tokens at most, and whether there are more."""
        most = room * (MOST_TOKEN_CHARACTERS if isinstance(given, str) else 1)
        tokens = self._tokens(given[max(0, len(given) - most) :], work)
        return tokens[max(0, len(tokens) - room) :], len(given) > most or len(tokens) > room

    def _first(self, given: str, room: int, work: Cancellable) -> tuple[list[int], bool]:
        """As `_last`, the first ones."""
        most = room * MOST_TOKEN_CHARACTERS
        tokens = self._tokens(given[:most], work)
        return tokens[:room], len(given) > most or len(tokens) > room

    def _tokens(self, given: Prompt, work: Cancellable, room: Room | None = None) -> list[int]:
        """Those of a text by itself, without what begins one."""
        if isinstance(given, tuple):
            self._reader.check(given, "prompt")
            return list(given)
        return self._text.tokens(self._specials.cut(given, "assistant"), work, special=False, room=room)

    @functools.cached_property
    def _repository(self) -> list[int]:
        token = self._infill.repository
        return [] if token is None else [token, *self._tokens(_REPOSITORY, NEVER)]

    @functools.cached_property
    def _file(self) -> list[int]:
        token = self._infill.file
        return [] if token is None else [token, *self._tokens(_FILE, NEVER)]

    @functools.cached_property
    def _snippet(self) -> list[int]:
        return self._tokens(_SNIPPET, NEVER)
