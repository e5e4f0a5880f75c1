"""Requests of what is asked of a model's tokenizer. One that names no model means the default one: see `Directory`."""

from __future__ import annotations

from typing import Any

from marshmallow import post_load, validates_schema

from gateway.schemas.chat_request import ChatSchema
from gateway.schemas.objects import Object, Strict
from gateway.schemas.parameters import INT32_MAX, Array, Boolean, Ignored, Integer, Only, Prose, Text
from gateway.schemas.problem import refuse
from shared.context import MOST_TOLD_TOKENS


class EncodeSchema(Strict):
    """vLLM's /tokenize, of a text."""

    model = Text(empty=False, load_default="")
    prompt = Prose(required=True)
    add_special_tokens = Boolean(load_default=True)
    return_token_strs = Boolean(load_default=False)


class ContentSchema(Strict):
    """llama.cpp's."""

    model = Text(empty=False, load_default="")
    content = Prose(required=True)
    add_special = Boolean(load_default=False)
    parse_special = Boolean(load_default=True)
    with_pieces = Boolean(load_default=False)


class TokensSchema(Strict):
    """/detokenize"""

    model = Text(empty=False, load_default="")
    tokens = Array(Integer(0, INT32_MAX), 0, MOST_TOLD_TOKENS, required=True)


class NameSchema(Strict):
    """/tokenizer_info"""

    model = Text(empty=False, load_default="")


class ChatBodySchema(ChatSchema):
    """What /v1/chat/completions takes, of which only the prompt is asked. One that ends with its last message has none
    of the answer."""

    model = Text(empty=False, load_default="")
    add_generation_prompt = Boolean()
    stream = Ignored(Boolean(), load_default=False)  # type: ignore[assignment]  # it is taken, and nothing comes of it
    stream_options = Ignored(Object())  # type: ignore[assignment]  # and of this
    store = Ignored(Boolean())  # type: ignore[assignment]  # and of this

    @post_load
    def rest(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Nothing is streamed."""
        opens = data.get("add_generation_prompt", True) or data["continue_final_message"]
        whole = {name: value for name, value in data.items() if name != "stream_options"}
        return {**whole, "stream": False, "add_generation_prompt": opens}

    @validates_schema
    def continues(self, data: dict[str, Any], **kwargs: Any) -> None:
        wanted = data["continue_final_message"]
        if wanted and data.get("add_generation_prompt"):
            reason = "must be false when 'continue_final_message' is true"
            raise refuse("invalid_value", reason, name="add_generation_prompt")
        super().continues({**data, "add_generation_prompt": not wanted})


class ConversationSchema(ChatBodySchema):
    """vLLM's /tokenize, of a conversation."""

    return_token_strs = Boolean(load_default=False)
    add_special_tokens = Only(False, hint="a conversation begins as its template has it, and as the model's prompts do")
    chat_template = Only(hint="it is the model's; see --chat-format")
    media_io_kwargs = Only({})
    mm_processor_kwargs = Only({})
