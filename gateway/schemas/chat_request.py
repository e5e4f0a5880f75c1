"""Requests to /v1/chat/completions."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, post_load, validates_schema

from gateway.schemas.caps import MAX_MESSAGES
from gateway.schemas.fine_sampling import Limit
from gateway.schemas.logprob_request import Alternatives, asked
from gateway.schemas.message import MessageSchema
from gateway.schemas.parameters import Array, Boolean, Only
from gateway.schemas.problem import refuse, show
from gateway.schemas.reasoning import ReasoningSchema
from gateway.schemas.sampling import SamplingSchema, refuse_choices
from gateway.schemas.tool_calls import pair
from gateway.schemas.tools import ToolsSchema, tools
from shared.protocol import FineMessage

_UNFIT_FOR_TOOLS = ("continue_final_message", "return_token_ids", "ignore_eos", "min_tokens", "stop_token_ids")


class ChatSchema(SamplingSchema, ToolsSchema, ReasoningSchema):
    messages = Array(fields.Nested(MessageSchema), low=1, high=MAX_MESSAGES, required=True)
    max_completion_tokens = Limit()
    continue_final_message = Boolean(load_default=False)
    add_generation_prompt = Boolean(load_default=True)
    logprobs = Boolean()
    top_logprobs = Alternatives()

    # Not supported yet.
    echo = Only(False)
    best_of = Only(1)
    modalities = Only(["text"])
    audio = Only()
    prediction = Only()
    web_search_options = Only()
    moderation = Only()

    @post_load
    def pair(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """The messages with calls and results that know each other."""
        return {**data, "messages": pair(data["messages"])}

    @validates_schema
    def computes(self, data: dict[str, Any], **kwargs: Any) -> None:
        refuse_choices(1, data["n"], "n")

    @validates_schema
    def continues(self, data: dict[str, Any], **kwargs: Any) -> None:
        """The pair is vLLM's: one of them says to go on with the last message, the other not to begin a new one."""
        wanted, last = data["continue_final_message"], data["messages"][-1]
        if wanted and (last.role != "assistant" or (isinstance(last, FineMessage) and last.tool_calls)):
            reason = "only allowed when the last message is the assistant's, and has no calls"
            raise refuse("invalid_value", reason, name="continue_final_message")
        if wanted == data["add_generation_prompt"]:
            reason = f"must be {show(not wanted)} when 'continue_final_message' is {show(wanted)}"
            raise refuse("invalid_value", reason, name="add_generation_prompt")

    @validates_schema
    def calls(self, data: dict[str, Any], **kwargs: Any) -> None:
        """What cannot be told exactly, or held, where the answer may have calls."""
        if not tools(data):
            return
        for name in _UNFIT_FOR_TOOLS:
            if data.get(name):
                raise refuse("unsupported_value", "not supported together with tools", name=name)
        name, logprobs = asked(data)
        if data["stream"] and logprobs is not None:
            reason = (
                "not supported together with tools and 'stream': what may become a call is held back until it is one"
            )
            raise refuse("unsupported_value", reason, name="logprobs" if name == "top_logprobs" else name)

    @validates_schema
    def weighs(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data.get("top_logprobs") and not data.get("logprobs"):
            raise refuse("invalid_value", "only allowed when 'logprobs' is true", name="top_logprobs")
