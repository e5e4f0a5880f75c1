"""What a legacy file's model reads of texts and conversations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.cancellation import NEVER, Cancellable
from shared.context import Telling, most_told
from shared.protocol import Chat, Decoded, Encoded, Encoding
from worker import chat_formats
from worker.engines.ctransformers_text import LegacyText
from worker.engines.decoding import decode
from worker.engines.messages import Dictionaries, render_chat
from worker.engines.special_texts import Specials


class LegacyTokenizer:
    """See `worker.engines.ModelTokenizer`. `template` is that of its chats; empty where it has none."""

    def __init__(self, text: LegacyText, specials: Specials, template: str, context: int) -> None:
        self._text, self._specials, self._template, self._context = text, specials, template, context

    def encode(self, task: Encoding, work: Cancellable = NEVER) -> Encoded:
        text, most = "", most_told(task)
        if isinstance(task.given, str):
            room, given = Telling(most, "prompt"), task.given
            tokens = self._text.tokens(given, work, room, special=task.special, parse_special=task.parse_special)
        else:
            texts = self.render(task.given, opens=task.opens)
            text, tokens = "".join(texts), self._text.tokens(texts, work, Telling(most, "messages"))
        pieces = tuple(map(self._text.spell, tokens)) if task.pieces else ()
        return Encoded(text, tuple(tokens), pieces, self._context)

    def decode(self, tokens: Sequence[int]) -> Decoded:
        self._text.check(tokens, "tokens")
        return decode(map(self._text.spell, tokens), spaced=self._text.spaced)

    def describe(self) -> dict[str, Any]:
        text = self._text
        return {
            "tokenizer_class": "LlamaTokenizer" if text.spaced else "GPT2Tokenizer",
            "add_bos_token": text.begins and text.bos is not None,
            "add_eos_token": False,
            "bos_token": text.bos_text or None,
            "eos_token": text.eos_text or None,
            "pad_token": None,
            "unk_token": None,
            "clean_up_tokenization_spaces": False,
            "model_max_length": self._context,
            "chat_template": self._template or None,
        }

    def render(self, task: Chat, *, opens: bool = True) -> list[str]:
        """See `worker.engines.messages.render`, and for `opens` an `Encoding`."""

        def apply_template(messages: Dictionaries, variables: dict[str, Any]) -> str:
            return chat_formats.render(self._template, messages, self._text.bos_text, self._text.eos_text, opens=opens)

        return render_chat(task, self._specials, apply_template)
