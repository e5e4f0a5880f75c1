"""Requests to /api/chat and /api/generate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import fields, pre_load, validates_schema

from gateway.schemas.caps import MAX_MESSAGES
from gateway.schemas.logprob_request import Alternatives
from gateway.schemas.message import MessageSchema
from gateway.schemas.objects import Member, Variant
from gateway.schemas.ollama.context import Remembered
from gateway.schemas.ollama.duration import KeepAlive
from gateway.schemas.ollama.open import Open
from gateway.schemas.ollama.options import OptionsSchema
from gateway.schemas.parameters import Array, Boolean, Ignored, Only, Prose, Text, text
from gateway.schemas.problem import refuse, show, wrong_type
from gateway.schemas.reasoning import EFFORTS, Think
from gateway.schemas.structured import ANY_OBJECT, write_schema
from gateway.schemas.tool_calls import pair
from gateway.schemas.tool_choice import MOST_TOOLS
from gateway.schemas.tools import FunctionTool, check_offer
from shared.card import Ability
from shared.protocol import FineMessage, Grammar

_BLIND = "models here read text only"


class AnswerForm(fields.Field["Grammar | None"]):
    """`json`, or a JSON Schema; an empty text asks for nothing."""

    json_schema: ClassVar = {"anyOf": [{"enum": ["", "json"]}, {"type": "object"}]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> Grammar | None:
        if isinstance(value, dict):
            return Grammar("json", write_schema(value), strict=False, param="format")
        if not isinstance(value, str):
            raise wrong_type('"json" or a JSON Schema, which is an object', value)
        if text(value) not in ("", "json"):
            raise refuse("unsupported_value", f'{show(value)} is neither "json" nor a JSON Schema')
        return Grammar("json", ANY_OBJECT, param="format") if value else None


class AskedSchema(Open):
    """What is asked of either."""

    model = Text(empty=False, required=True)
    options = Member(OptionsSchema, load_default=dict)
    stream = Boolean(load_default=True)
    format = AnswerForm(load_default=None)
    think = Think()
    logprobs = Boolean(load_default=False)
    top_logprobs = Alternatives()
    truncate = Boolean(load_default=True)
    keep_alive = KeepAlive()
    shift = Ignored(Boolean())  # an answer ends where the context does
    _debug_render_only = Only(False, hint="/apply-template shows what a template makes of a conversation")

    def needs(self, data: Mapping[str, Any]) -> dict[str, Ability]:
        asked = data.get("think")
        return {} if asked is None else {"think": Ability.EFFORT if asked in EFFORTS[2:] else Ability.REASONING}


class SpokenSchema(MessageSchema):
    """A message of a chat, as Ollama's answers tell it."""

    images = Only([], hint=_BLIND)

    @pre_load
    def rename(self, data: object, **kwargs: Any) -> object:
        """What Ollama calls otherwise, in OpenAI's words."""
        if not isinstance(data, dict):
            return data
        named = {"name": data["tool_name"]} if data.get("tool_name") is not None else {}
        role = {"role": data["role"].lower()} if isinstance(data.get("role"), str) else {}
        return {**data, **named, **role}


_SPOKEN = SpokenSchema(exclude=("function_call", "partial", "prefix"))


class OllamaChatSchema(AskedSchema):
    messages = Array(fields.Nested(_SPOKEN), low=0, high=MAX_MESSAGES, load_default=list)
    tools = Array(Variant({"function": FunctionTool()}, hint="every tool is run by the client"), 0, MOST_TOOLS)

    @validates_schema
    def offers(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Tools have different names and are not too large; every result is one of a call."""
        check_offer(data.get("tools", ()), "tools")
        data["messages"] = pair(data["messages"])
        if data.get("tools") and data["logprobs"] and data["stream"]:
            reason = (
                "not supported together with tools and 'stream': what may become a call is held back until it is one"
            )
            raise refuse("unsupported_value", reason, name="logprobs")

    @validates_schema
    def goes_on(self, data: dict[str, Any], **kwargs: Any) -> None:
        """A last message of the assistant's is the beginning of the answer."""
        last = data["messages"][-1] if data["messages"] else None
        data["continue_final"] = begun = last is not None and last.role == "assistant"
        if begun and isinstance(last, FineMessage) and last.tool_calls:
            raise refuse("invalid_value", "calls have to be followed by their results", name="messages")
        if begun and data.get("tools"):
            reason = "an answer that is begun cannot be gone on with where there are tools"
            raise refuse("invalid_value", reason, name="messages")


class GenerateSchema(AskedSchema):
    prompt = Prose(load_default="")
    suffix = Prose(load_default="")
    system = Prose(load_default="")
    raw = Boolean(load_default=False)
    context = Remembered(load_default=list)
    images = Only([], hint=_BLIND)
    template = Only("", hint="the model's own is taken; with 'raw' the prompt is read as it is")

    @validates_schema
    def is_plain(self, data: dict[str, Any], **kwargs: Any) -> None:
        for name in ("system", "context"):
            if data["raw"] and data[name]:
                raise refuse("invalid_value", "not together with 'raw', which takes the prompt as it is", name=name)
