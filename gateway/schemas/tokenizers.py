"""The formats of what is asked of a model's tokenizer: vLLM's and llama.cpp's."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from gateway.schemas.chat import chat_of
from gateway.schemas.format import Format
from gateway.schemas.sampling import options
from gateway.schemas.tokenizer_requests import (
    ChatBodySchema,
    ContentSchema,
    ConversationSchema,
    EncodeSchema,
    NameSchema,
    TokensSchema,
)
from gateway.schemas.whole import WholeFormat
from shared.config import Config
from shared.protocol import (
    Accepted,
    Decoded,
    Decoding,
    Described,
    Describing,
    Encoded,
    Encoding,
    Options,
    Task,
    TokenizerEvent,
    Usage,
)

_NO_OPTIONS = Options()


class TokenizerFormat(WholeFormat):
    """One answer, made of one event."""

    @abstractmethod
    def tell(self, event: TokenizerEvent) -> dict[str, Any]:
        """The answer."""

    def conclude(self, job_id: str, accepted: Accepted, taken: Sequence[Any], usage: Usage) -> dict[str, Any]:
        return self.tell(taken[-1])


class EncodeFormat(TokenizerFormat):
    """vLLM's /tokenize, of a text; and that of whoever asks in other words."""

    name = "vllm.tokenize"
    id_prefix = "tok-"
    schema = EncodeSchema()

    def of(self, body: object) -> Format:
        asked = body if isinstance(body, dict) else {}
        return MESSAGES if "messages" in asked else CONTENT if "content" in asked else self

    def parse(self, body: object, seed: int, config: Config) -> tuple[Task, Options]:
        given = self.schema.read(body, config)
        special, pieces = given["add_special_tokens"], given["return_token_strs"]
        return Encoding(given["model"], given["prompt"], special, pieces=pieces), _NO_OPTIONS

    def tell(self, event: TokenizerEvent) -> dict[str, Any]:
        return _count(event)


class ContentFormat(TokenizerFormat):
    """llama.cpp's."""

    name = "llama.cpp.tokenize"
    id_prefix = "ltok-"
    parameters = MappingProxyType({"prompt": "content"})
    schema = ContentSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Task, Options]:
        given = self.schema.read(body, config)
        special, parse, pieces = given["add_special"], given["parse_special"], given["with_pieces"]
        return Encoding(given["model"], given["content"], special, parse, pieces), _NO_OPTIONS

    def tell(self, event: TokenizerEvent) -> dict[str, Any]:
        assert isinstance(event, Encoded), "what `parse` asks for"
        if len(event.pieces) < len(event.tokens):
            return {"tokens": event.tokens}
        told = zip(event.tokens, event.pieces, strict=True)
        return {"tokens": [{"id": token, "piece": _readable(piece)} for token, piece in told]}


class ChatPromptFormat(TokenizerFormat):
    """What is asked of a chat's prompt."""

    schema = ChatBodySchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Task, Options]:
        given = self.schema.read(body, config)
        pieces, opens = given.get("return_token_strs", False), given["add_generation_prompt"]
        return Encoding(given["model"], chat_of(given, seed, config), pieces=pieces, opens=opens), options(given)


class ConversationFormat(ChatPromptFormat):
    """vLLM's /tokenize, of a conversation."""

    name = "vllm.tokenize_chat"
    id_prefix = "ctok-"
    schema = ConversationSchema()

    def tell(self, event: TokenizerEvent) -> dict[str, Any]:
        return _count(event)


class InputTokensFormat(ChatPromptFormat):
    """llama.cpp's /v1/chat/completions/input_tokens"""

    name = "llama.cpp.input_tokens"
    id_prefix = "count-"

    def tell(self, event: TokenizerEvent) -> dict[str, Any]:
        return tell_input_tokens(event)


class TemplateFormat(ChatPromptFormat):
    """llama.cpp's /apply-template"""

    name = "llama.cpp.apply_template"
    id_prefix = "tmpl-"

    def tell(self, event: TokenizerEvent) -> dict[str, Any]:
        assert isinstance(event, Encoded), "what `parse` asks for"
        return {"prompt": event.text}


class TokensFormat(TokenizerFormat):
    """/detokenize, in which nobody can tell who asks: vLLM's word for the answer, and llama.cpp's."""

    name = "detokenize"
    id_prefix = "detok-"
    schema = TokensSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Task, Options]:
        given = self.schema.read(body, config)
        return Decoding(given["model"], tuple(given["tokens"])), _NO_OPTIONS

    def tell(self, event: TokenizerEvent) -> dict[str, Any]:
        assert isinstance(event, Decoded), "what `parse` asks for"
        return {"prompt": event.text[event.added :], "content": event.text}


class NameFormat(TokenizerFormat):
    """vLLM's /tokenizer_info; its parameters are in the query."""

    name = "vllm.tokenizer_info"
    id_prefix = "tinfo-"
    schema = NameSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Task, Options]:
        return Describing(self.schema.read(body, config)["model"]), _NO_OPTIONS

    def tell(self, event: TokenizerEvent) -> dict[str, Any]:
        assert isinstance(event, Described), "what `parse` asks for"
        described: dict[str, Any] = json.loads(event.tokenizer)
        return described


def tell_input_tokens(event: TokenizerEvent) -> dict[str, Any]:
    """OpenAI's answer."""
    assert isinstance(event, Encoded), "what `parse` asks for"
    return {"object": "response.input_tokens", "input_tokens": len(event.tokens)}


def _count(event: TokenizerEvent) -> dict[str, Any]:
    """vLLM's answer. What is no character of its own is U+FFFD in the text of a token."""
    assert isinstance(event, Encoded), "what `parse` asks for"
    pieces = [piece.decode(errors="replace") for piece in event.pieces]
    told = pieces if len(pieces) == len(event.tokens) else None
    return {
        "count": len(event.tokens),
        "max_model_len": event.context,
        "tokens": event.tokens,
        "token_strs": told,
    }


def _readable(piece: bytes) -> str | list[int]:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)


MESSAGES, CONTENT = ConversationFormat(), ContentFormat()
TOKENIZER_FORMATS: tuple[Format, ...] = (
    EncodeFormat(),
    MESSAGES,
    CONTENT,
    InputTokensFormat(),
    TemplateFormat(),
    TokensFormat(),
    NameFormat(),
)
