"""What llama.cpp reads before it answers, as tokens."""

from __future__ import annotations

from collections.abc import Sequence

from shared.cancellation import Cancellable
from shared.context import Room
from shared.errors import InvalidRequest
from shared.protocol import Prompt
from worker.engines.llama_cpp_text import LlamaText
from worker.engines.special_texts import Specials


class PromptReader:
    """Of one model, which has `size` tokens; `bos` stands for an empty text."""

    def __init__(self, text: LlamaText, specials: Specials, *, size: int, bos: int | None) -> None:
        self._text, self._specials, self._size, self._bos = text, specials, size, bos

    def read(self, prompt: Prompt | list[str], room: Room, work: Cancellable) -> list[int]:
        """The tokens of a text, of token ids, or of texts that follow each other, none of which ends in a token.

        Raises ContextLengthExceeded as soon as it leaves no room for an answer.
        """
        if isinstance(prompt, tuple):
            self.check(prompt, room.param)
            tokens = list(prompt)
        else:
            tokens = self._text.tokens(prompt, work, room=room)
        if tokens:
            return tokens
        if self._bos is None:
            raise InvalidRequest("the prompt is empty, and this model has no token to begin with", param=room.param)
        return [self._bos]

    def read_again(self, written: Sequence[str], work: Cancellable) -> list[int]:
        """The tokens of what has been answered, where they were not told: tags and texts in turn, a tag first."""
        return self._text.tokens(self._specials.go_on([""], written), work, begins=False)

    def check(self, tokens: Sequence[int], param: str) -> None:
        """Raises InvalidRequest where one of them is none."""
        if (highest := max(tokens, default=0)) >= self._size:
            raise InvalidRequest(f"{highest} is no token: this model has {self._size}", param=param)
