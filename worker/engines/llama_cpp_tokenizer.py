"""What llama.cpp reads of texts and conversations, told to whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from shared.cancellation import NEVER, Cancellable
from shared.context import Telling, most_told
from shared.protocol import Chat, Decoded, Encoded, Encoding
from worker.chat_formats import LARGEST_TEMPLATE
from worker.engines.decoding import decode
from worker.engines.llama_cpp_chat import NativeTools
from worker.engines.llama_cpp_chats import Chats
from worker.engines.llama_cpp_prompt import PromptReader
from worker.engines.llama_cpp_text import LlamaText
from worker.formats.gguf import Header
from worker.tools import needs_form, own_form

_CLASSES = {
    "bert": "BertTokenizerFast",
    "gpt2": "GPT2TokenizerFast",
    "llama": "LlamaTokenizerFast",
    "t5": "T5TokenizerFast",
}
"""Hugging Face's classes, by the names that GGUF has for kinds of tokenizers."""
_ANY = "PreTrainedTokenizerFast"
_SPECIALS = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
"""Tokens by Hugging Face's names, and by GGUF's."""


class LlamaTokenizer:
    """See `worker.engines.ModelTokenizer`."""

    def __init__(
        self,
        text: LlamaText,
        reader: PromptReader,
        chats: Chats | None,
        tools: NativeTools | None,
        header: Header,
        pieces: Callable[[], Sequence[bytes]],
        *,
        context: int,
        system: bool,
        template: str,
    ) -> None:
        """`system`: the template takes system messages; `pieces` tells what each token stands for. A model that does
        not chat has neither `chats` nor `tools`."""
        self._text, self._reader, self._chats, self._tools = text, reader, chats, tools
        self._header, self._pieces = header, pieces
        self._context, self._system, self._template = context, system, template

    def encode(self, task: Encoding, work: Cancellable = NEVER) -> Encoded:
        if isinstance(task.given, str):
            text, tokens = "", self._read_text(task, task.given, work)
        else:
            text, tokens = self._read_chat(task, task.given, work)
        pieces = self._pieces()
        return Encoded(text, tuple(tokens), tuple(pieces[t] for t in tokens) if task.pieces else (), self._context)

    def decode(self, tokens: Sequence[int]) -> Decoded:
        self._reader.check(tokens, "tokens")
        pieces = self._pieces()
        return decode((pieces[token] for token in tokens), spaced=self._header.spaced)

    def describe(self) -> dict[str, Any]:
        header = self._header
        return {
            "tokenizer_class": _CLASSES.get(str(header.tokenizer), _ANY),
            "add_bos_token": bool(self._text.beginning()),
            "add_eos_token": bool(self._text.around()[1]),
            **{f"{name}_token": self._name(header.special(key)) for name, key in _SPECIALS.items()},
            "clean_up_tokenization_spaces": False,
            "model_max_length": self._context,
            "chat_template": self._template if 0 < len(self._template) <= LARGEST_TEMPLATE else None,
        }

    def _name(self, token: int | None) -> str | None:
        return None if token is None else self._pieces()[token].decode(errors="replace")

    def _read_text(self, task: Encoding, text: str, work: Cancellable) -> list[int]:
        room = Telling(most_told(task), "prompt")
        return self._text.tokens(text, work, special=task.special, parse_special=task.parse_special, room=room)

    def _read_chat(self, task: Encoding, chat: Chat, work: Cancellable) -> tuple[str, list[int]]:
        assert self._chats, "it has the ability"
        assert self._tools, "it has the ability"
        room = Telling(most_told(task), "messages")
        if needs_form(chat):
            if found := self._tools.read(chat, work, room, opens=task.opens):
                return found
            chat = own_form(chat, system=self._system)
        texts = self._chats.render(chat, work)[0] if task.opens else self._chats.transcribe(chat, work)
        return "".join(texts), self._reader.read(texts, room, work)
