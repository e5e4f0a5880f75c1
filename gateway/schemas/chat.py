"""The format of /v1/chat/completions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from marshmallow import fields, validates_schema

from gateway.schemas.answer import fold
from gateway.schemas.caps import MAX_MESSAGES
from gateway.schemas.fine_sampling import Limit
from gateway.schemas.format import PAUSE, Format, Frames
from gateway.schemas.message import NO_TOOLS, MessageSchema
from gateway.schemas.objects import Member, Object, Strict
from gateway.schemas.openai import (
    UsageSoFar,
    announcer,
    cut,
    encode,
    head,
    prompt_token_ids,
    render_failure,
    render_frames,
    token_ids,
    usage,
)
from gateway.schemas.parameters import INT32_MAX, Array, Boolean, Ignored, Integer, Only, Text
from gateway.schemas.problem import refuse, show
from gateway.schemas.sampling import SamplingSchema, options, refuse_choices, sampling
from shared.config import Config
from shared.errors import InferqError
from shared.protocol import Accepted, Chat, Delta, Event, FinishReason, Options


class Reasoning(Strict):
    """OpenRouter's: how to think. To ask a model that does not to think is refused."""

    enabled = Ignored(Only(False))
    effort = Ignored(Text())
    max_tokens = Ignored(Integer(0, INT32_MAX))
    exclude = Ignored(Boolean())  # type: ignore[assignment]  # a field, not an option
    summary = Ignored(Text())


class Thinking(Strict):
    """Anthropic's and others': whether to think."""

    type = Ignored(Only("disabled"), required=True)
    budget_tokens = Ignored(Integer(0, INT32_MAX))


class Switches(Strict):
    """What templates of models that think are told."""

    enable_thinking = Ignored(Only(False))
    thinking = Ignored(Only(False))
    reasoning_effort = Ignored(Text())


class ChatSchema(SamplingSchema):
    messages = Array(fields.Nested(MessageSchema), low=1, high=MAX_MESSAGES, required=True)
    max_completion_tokens = Limit()
    continue_final_message = Boolean(load_default=False)
    add_generation_prompt = Boolean(load_default=True)

    # Without tools and thoughts they ask for nothing.
    tool_choice = Ignored(Text(), Object())
    parallel_tool_calls = Ignored(Boolean())
    function_call = Ignored(Text(), Object())
    reasoning_effort = Ignored(Text())
    reasoning = Member(Reasoning)
    include_reasoning = Ignored(Boolean())
    reasoning_format = Ignored(Text())
    thinking = Member(Thinking)
    thinking_budget = Ignored(Integer(-1, INT32_MAX))
    enable_thinking = Ignored(Only(False))
    think = Ignored(Only(False))
    chat_template_kwargs = Member(Switches)

    # Not supported yet.
    echo = Only(False)
    best_of = Only(1)
    logprobs = Only(False)
    top_logprobs = Only(0)
    tools = Only([], hint=NO_TOOLS)
    functions = Only([], hint=NO_TOOLS)
    response_format = Only({"type": "text"})
    modalities = Only(["text"])
    audio = Only()
    prediction = Only()
    web_search_options = Only()
    moderation = Only()

    @validates_schema
    def computes(self, data: dict[str, Any], **kwargs: Any) -> None:
        refuse_choices(1, data["n"], "n")

    @validates_schema
    def continues(self, data: dict[str, Any], **kwargs: Any) -> None:
        """The pair is vLLM's: one of them says to go on with the last message, the other not to begin a new one."""
        wanted = data["continue_final_message"]
        if wanted and data["messages"][-1].role != "assistant":
            reason = "only allowed when the last message is the assistant's"
            raise refuse("invalid_value", reason, name="continue_final_message")
        if wanted == data["add_generation_prompt"]:
            reason = f"must be {show(not wanted)} when 'continue_final_message' is {show(wanted)}"
            raise refuse("invalid_value", reason, name="add_generation_prompt")


class ChatFormat(Format):
    """`Format` of chats."""

    name = "openai.chat"
    id_prefix = "chatcmpl-"
    schema = ChatSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Chat, Options]:
        given = self.schema.read(body, config)
        limit = given.get("max_completion_tokens", given.get("max_tokens", config.usual_max_tokens))
        task = Chat(
            given["model"],
            tuple(given["messages"]),
            sampling(given, seed, limit),
            given["n"],
            given["continue_final_message"],
            given["return_token_ids"],
        )
        return task, options(given)

    def render(self, job_id: str, accepted: Accepted, events: Iterable[Event]) -> dict[str, Any]:
        choices, used = fold(events)
        return {
            **head(job_id, accepted, "chat.completion"),
            "choices": [
                {
                    "index": choice.index,
                    "message": {"role": "assistant", "content": choice.text, "refusal": None},
                    "logprobs": None,
                    "finish_reason": choice.finish_reason,
                    **token_ids(accepted.task, choice.tokens),
                }
                for choice in choices
            ],
            "usage": usage(used),
            **prompt_token_ids(choices[0].prompt_tokens),
        }

    def render_frames(self, job_id: str, accepted: Accepted, options: Options) -> Frames:
        task, opening = accepted.task, head(job_id, accepted, "chat.completion.chunk")
        assert isinstance(task, Chat), "what `parse` makes"
        so_far = UsageSoFar(options, prompts=1)

        def chunk(
            index: int, delta: dict[str, str], tokens: tuple[int, ...] = (), finish_reason: FinishReason | None = None
        ) -> dict[str, Any]:
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
            return {**opening, "choices": [{**choice, **token_ids(task, tokens)}], **so_far.of(index)}

        @cache
        def speaker(index: int) -> Callable[[str], bytes]:
            return cut(lambda text: chunk(index, {"content": text}))

        announce = announcer(task.choices)

        def say(piece: Delta) -> Iterator[bytes]:
            if piece is PAUSE:
                yield encode(chunk(0, {"content": ""}))
                return
            for index in announce(piece.index):
                role = chunk(index, {"role": "assistant", "content": ""})
                yield encode({**role, **prompt_token_ids(piece.prompt_tokens)} if index == 0 else role)
            so_far.note(piece)
            if piece.text and (task.token_ids or so_far.continuous):
                yield encode(chunk(piece.index, {"content": piece.text}, piece.tokens))
            elif piece.text:
                yield speaker(piece.index)(piece.text)
            if piece.finish_reason is not None:
                tokens = () if piece.text else piece.tokens
                yield encode(chunk(piece.index, {}, tokens, piece.finish_reason))

        return render_frames(self, say, so_far, {**opening, "choices": []} if options.include_usage else None)

    def render_failure(self, error: InferqError, status: int) -> dict[str, Any]:
        return render_failure(error, status)
