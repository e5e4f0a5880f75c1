"""The tokens of the echo engine: words, whose numbers say nothing of them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

from shared.cancellation import NEVER, Cancellable
from shared.context import Telling, most_told
from shared.protocol import Chat, Decoded, Encoded, Encoding
from worker.engines.echo_answer import TOKEN


class EchoTokenizer:
    """See `worker.engines.ModelTokenizer`."""

    def __init__(self, context: int) -> None:
        self._context = context

    def encode(self, task: Encoding, work: Cancellable = NEVER) -> Encoded:
        text, param = (task.given, "prompt") if isinstance(task.given, str) else (transcript(task.given), "messages")
        words = TOKEN.findall(text)
        Telling(most_told(task), param).check(len(words))
        pieces = tuple(word.encode() for word in words) if task.pieces else ()
        return Encoded("" if param == "prompt" else text, tuple(map(number, words)), pieces, self._context)

    def decode(self, tokens: Sequence[int]) -> Decoded:
        return Decoded(" ".join(map(str, tokens)))

    def describe(self) -> dict[str, Any]:
        special = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token", "chat_template"))
        return {"tokenizer_class": "EchoTokenizer", **special, "model_max_length": self._context}


def transcript(chat: Chat) -> str:
    """What it reads of a conversation."""
    return " ".join(message.content for message in chat.messages)


def number(word: str) -> int:
    """The id of a token."""
    return zlib.crc32(word.encode()) >> 1
