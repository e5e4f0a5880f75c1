"""What llama.cpp reads before it answers: the tokens of a prompt, or of what a template makes of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.cancellation import Cancellable
from shared.context import Room
from shared.errors import InvalidRequest
from shared.protocol import Prompt
from worker.engines.llama_cpp_text import LlamaText
from worker.engines.special_texts import Specials, append


@dataclass(frozen=True, slots=True)
class LlamaPrompt:
    """`texts` is what the tokens were made of; None where they were not made of a text."""

    tokens: list[int]
    texts: Sequence[str] | None
    text: LlamaText
    specials: Specials

    def go_on(self, answer: str, work: Cancellable) -> list[int]:
        """Its tokens and those of a part of the answer, of which only the text is known."""
        parts = self.specials.cut(answer, "assistant")
        if self.texts is None:
            return self.tokens + self.text.tokens(parts, work, begins=False)
        return self.text.tokens(append(self.texts, parts), work)


class Prompts:
    """Of one model, which has `size` tokens; `bos` stands for an empty text."""

    def __init__(self, text: LlamaText, specials: Specials, *, size: int, bos: int | None) -> None:
        self._text, self._specials, self._size, self._bos = text, specials, size, bos

    def read(self, prompt: Prompt | list[str], room: Room, work: Cancellable) -> LlamaPrompt:
        """Of a text, of token ids, or of texts that follow each other, where no token may be made of two of them.

        Raises ContextLengthExceeded as soon as it leaves no room for an answer.
        """
        if isinstance(prompt, tuple):
            self.check(prompt, room.param)
            texts, tokens = None, list(prompt)
        else:
            texts = [prompt] if isinstance(prompt, str) else prompt
            tokens = self._text.tokens(texts, work, room=room)
        if not tokens:
            if self._bos is None:
                message = "the prompt is empty, and this model has no token to begin with"
                raise InvalidRequest(message, param=room.param)
            texts, tokens = None, [self._bos]
        return LlamaPrompt(tokens, texts, self._text, self._specials)

    def check(self, tokens: Sequence[int], param: str) -> None:
        """Raises InvalidRequest where one of them is none."""
        if (highest := max(tokens, default=0)) >= self._size:
            raise InvalidRequest(f"{highest} is no token: this model has {self._size}", param=param)
