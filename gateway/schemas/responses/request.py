"""Requests to /v1/responses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import post_load, validates_schema
from msgspec.structs import replace

from gateway.schemas.caching import CachingSchema
from gateway.schemas.caps import MAX_TOKENS
from gateway.schemas.logprob_request import MOST_ALTERNATIVES
from gateway.schemas.metadata import Metadata
from gateway.schemas.objects import MOST_PAIRS, Member, Object, Strict
from gateway.schemas.parameters import INT32_MAX, Array, Boolean, Ignored, Integer, Number, Only, Text, Word
from gateway.schemas.problem import refuse
from gateway.schemas.reasoning import telling
from gateway.schemas.responses.asked import repeat
from gateway.schemas.responses.include import HOSTED, INCLUDABLE, LOGPROBS
from gateway.schemas.responses.prompt import ResponsePromptSchema, make_chat, place_items
from gateway.schemas.responses.references import NOTHING, Referred
from gateway.schemas.sampling import LogitBias, ServiceTier, Stop, sampling
from shared.config import Config
from shared.protocol import Chat, Kept, Options
from shared.ticket import Tier


class EventOptions(Strict):
    include_obfuscation = Ignored(Boolean())  # nothing is ever padded
    include_usage = Ignored(Boolean())  # it is always told


class ResponsesSchema(ResponsePromptSchema, CachingSchema):
    max_output_tokens = Integer(1, MAX_TOKENS)
    temperature = Number(0, 100)
    top_p = Number(0, 1)
    top_logprobs = Integer(0, MOST_ALTERNATIVES)
    include = Array(Word(*INCLUDABLE), 0, MOST_PAIRS)
    stream = Boolean(load_default=False)
    stream_options = Member(EventOptions)
    service_tier = ServiceTier(load_default=Tier.DEFAULT.value)
    store = Boolean(load_default=True)
    background = Boolean(load_default=False)
    metadata = Metadata()

    # What llama.cpp and vLLM know of sampling beyond OpenAI.
    top_k = Integer(-1, INT32_MAX)
    min_p = Number(0, 1)
    presence_penalty = Number(-2, 2)
    frequency_penalty = Number(-2, 2)
    repeat_penalty = repetition_penalty = Number(0.01, 100)
    seed = Integer(-(2**63), 2**63 - 1)
    stop = Stop()
    logit_bias = LogitBias()

    # For whom it is, which parts of a prompt are kept, and what tools of OpenAI's own may do.
    user = Ignored(Text())
    safety_identifier = Ignored(Text())
    prompt_cache_options = Ignored(Object())
    max_tool_calls = Ignored(Integer(0, INT32_MAX))
    access_programs = Ignored(Object())
    background_options = Ignored(Object())  # it is computed as soon as may be
    context_management = Ignored(Array(Object(), 0, MOST_PAIRS))  # all of the conversation is read
    image = Ignored(Object())

    # Not supported: it would change the answer.
    moderation = Only()

    @post_load
    def unite(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """The same under the names that chats have for it."""
        repeat = data.pop("repetition_penalty", None)
        return data if repeat is None else {"repeat_penalty": repeat, **data}

    @validates_schema
    def keeps(self, data: dict[str, Any], **kwargs: Any) -> None:
        """What goes on when its client has left is asked for later, and so is what a conversation says."""
        if data["store"]:
            return
        if data["background"]:
            raise refuse("unsupported_value", "a response in the background has to be stored", name="background")
        if "conversation" in data:
            raise refuse("unsupported_value", "a response of a conversation has to be stored", name="conversation")

    @validates_schema
    def weighs(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data["stream"] and data.get("tools") and (name := weighing(data)[0]):
            reason = (
                "not supported together with tools and 'stream': what may become a call is held back until it is one"
            )
            raise refuse("unsupported_value", reason, name=name)

    def ignored(self, data: Mapping[str, Any]) -> list[str]:
        found = super().ignored(data)
        vain = ["include"] if any(name in HOSTED for name in data.get("include") or ()) else []
        if data.get("stream_options") is not None and not data.get("stream"):
            found = [*(name for name in found if not name.startswith("stream_options")), "stream_options"]
        return [*found, *vain]


def weighing(given: Mapping[str, Any]) -> tuple[str, int | None]:
    """By which parameter the log probabilities of the answer are asked for, and how many alternatives of each token;
    None: nothing is told of them."""
    if most := given.get("top_logprobs"):
        return "top_logprobs", int(most)
    return ("include", 0) if LOGPROBS in given.get("include", ()) else ("", None)


_SCHEMA = ResponsesSchema()


def read_response(body: object, seed: int, config: Config, referred: Referred = NOTHING) -> tuple[Chat, Options]:
    """The validated request as a task, and how it is answered. Raises InvalidRequest, naming the parameter, and
    NotStored for an item that is not there."""
    given = _SCHEMA.read(body, config)
    items = place_items(given, seed, config, referred)
    referred.tell(items)
    name, most = weighing(given)
    told = {"logprobs": True, "top_logprobs": most} if name else {}
    limit = given.get("max_output_tokens", config.usual_max_tokens)
    chosen = sampling({**given, "top_logprobs": None, **told}, seed, limit, given.get("text", {}).get("format"))
    kept = Kept(tuple(items), len(referred.inherited), given.get("conversation", ""))
    assert isinstance(body, dict), "what was found valid"
    options = Options(
        given["stream"],
        tier=given["service_tier"],
        background=given["background"],
        asked=repeat({name: value for name, value in body.items() if value is not None}, given),
        kept=kept if given["store"] else None,
    )
    return make_chat(given, items, referred, chosen), replace(options, **telling(given))
