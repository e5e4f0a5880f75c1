"""Requests to /v1/messages, and to /v1/messages/count_tokens, which are the same but for the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields, post_load

from gateway.schemas.anthropic.blocks import BlockContent
from gateway.schemas.anthropic.thinking import ThinkingSchema, grammar, hides, thinking
from gateway.schemas.anthropic.tools import ClientToolsSchema
from gateway.schemas.anthropic.turns import SaidSchema, make_turns
from gateway.schemas.caps import MAX_MESSAGES, MAX_STOPS, MAX_TOKENS
from gateway.schemas.fine_sampling import make_sampling
from gateway.schemas.objects import MOST_PAIRS, Object
from gateway.schemas.parameters import INT32_MAX, Array, Boolean, Ignored, Integer, Number, Only, Text, Word
from gateway.schemas.problem import refuse
from gateway.schemas.sampling import StopText
from gateway.schemas.tools import tools
from shared.config import Config
from shared.protocol import Chat, FineChat, FineMessage, Options, Sampling

BILLING = "x-anthropic-billing-header:"
"""What Claude Code begins its instructions with for Anthropic's own books. It differs in every request, and what comes
after it would never be found in the cache of prompts."""

_CLIENTS = "conversations are kept by the client alone"


class MessagesSchema(ClientToolsSchema, ThinkingSchema):
    model = Text(empty=False, required=True)
    messages = Array(fields.Nested(SaidSchema), low=1, high=MAX_MESSAGES, required=True)
    system = BlockContent("text")

    max_tokens: fields.Field[Any] = Integer(1, INT32_MAX, required=True)
    temperature: fields.Field[Any] = Number(0, 1)
    top_p: fields.Field[Any] = Number(0, 1)
    top_k: fields.Field[Any] = Integer(0, INT32_MAX)
    stop_sequences: fields.Field[Any] = Array(StopText(), low=0, high=MAX_STOPS)
    stream: fields.Field[Any] = Boolean(load_default=False)
    service_tier: fields.Field[Any] = Word("auto", "standard_only")  # what they differ in, there is not

    # What Anthropic's servers do beside answering: for whom, where, and what they remember of it.
    metadata = Ignored(Object())
    cache_control = Ignored(Object())
    context_management = Ignored(Object())  # all of the conversation is read
    diagnostics = Ignored(Object())
    inference_geo = Ignored(Text())
    speed = Ignored(Word("standard", "fast"))
    betas = anthropic_beta = Ignored(Array(Text(), 0, MOST_PAIRS))
    anthropic_version = Ignored(Text())
    billing_policy = Ignored(Object())
    fallbacks = Ignored(Text(), Array(Object(), 0, MOST_PAIRS))  # no answer is declined
    fallback_credit_token = Ignored(Text())
    user_profile_id = Ignored(Text())
    workspace_id = Ignored(Text())

    # Not supported: these would change the answer.
    container = Only(hint="no code is run here")
    mcp_servers = Only([], hint="every tool is run by the client")
    compaction = Only(hint=_CLIENTS)
    thread = Only(hint=_CLIENTS)

    @post_load
    def turns(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """The messages as turns, and whether the last one is to be gone on with."""
        system = [part for part in map(_unbill, data.get("system", [])) if part]
        turns = make_turns(system, data["messages"])
        goes_on = turns[-1].role == "assistant"
        if goes_on and isinstance(last := turns[-1], FineMessage) and last.tool_calls:
            raise _refuse_last(data, "calls have to be followed by their results")
        if goes_on and tools(data):
            raise _refuse_last(data, "an answer that is begun cannot be gone on with where there are tools")
        return {**data, "messages": turns, "continue_final": goes_on}

    def ignored(self, data: Mapping[str, Any]) -> list[str]:
        system = data.get("system") or []
        blocks = system if isinstance(system, list) else [{"text": system}]
        found = ["system"] if any(block["text"].startswith(BILLING) for block in blocks) else []
        if (data.get("max_tokens") or 0) > int(MAX_TOKENS):
            found.append("max_tokens")
        return [*dict.fromkeys((*super().ignored(data), *found))]


class CountSchema(MessagesSchema):
    """What the model would read of such a request. How it would be answered asks for nothing."""

    max_tokens = Ignored(Integer(0, INT32_MAX))
    temperature = Ignored(Number(0, 1))
    top_p = Ignored(Number(0, 1))
    top_k = Ignored(Integer(0, INT32_MAX))
    stop_sequences = Ignored(Array(StopText(), low=0, high=MAX_STOPS))
    stream = Ignored(Boolean())
    service_tier = Ignored(Word("auto", "standard_only"))


def _unbill(instructions: str) -> str:
    return instructions.partition("\n")[2] if instructions.startswith(BILLING) else instructions


def _refuse_last(data: dict[str, Any], reason: str) -> ValidationError:
    return ValidationError({"messages": {len(data["messages"]) - 1: refuse("invalid_value", reason).messages}})


_SCHEMA = MessagesSchema()


def read_messages(body: object, seed: int, config: Config) -> tuple[Chat, Options]:
    """The validated request as a task, and how it is answered. Raises InvalidRequest, naming the parameter.

    More tokens than the operator allows are as many as he does: clients always ask for what Anthropic's models can.
    """
    given = _SCHEMA.read(body, config)
    names = ("temperature", "top_p", "top_k")
    sampling = make_sampling(
        {
            **{name: given[name] for name in names if name in given},
            "seed": seed,
            "max_tokens": min(given["max_tokens"], config.max_tokens),
            "stop": given.get("stop_sequences", ()),
            "grammar": grammar(given),
        }
    )
    options = Options(given["stream"], include_usage=given["stream"], hides_reasoning=hides(given))
    return make_chat(given, sampling), options


def make_chat(given: Mapping[str, Any], sampling: Sampling) -> Chat:
    """What `read` returned, as a task."""
    task = FineChat(
        given["model"],
        given["messages"],
        sampling,
        continue_final=given["continue_final"],
        **tools(dict(given)),
        **thinking(given),
    )
    return task.simplest()
