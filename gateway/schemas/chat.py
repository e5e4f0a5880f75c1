"""The format of /v1/chat/completions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from gateway.schemas.answer import fold
from gateway.schemas.chat_request import ChatSchema
from gateway.schemas.format import PAUSE, Format, Frames
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
from gateway.schemas.reasoning import thinking
from gateway.schemas.sampling import options, sampling
from gateway.schemas.tools import tools
from shared.config import Config
from shared.errors import InferqError
from shared.protocol import Accepted, Chat, Delta, Event, FineChat, FinishReason, Options


class ChatFormat(Format):
    """`Format` of chats."""

    name = "openai.chat"
    id_prefix = "chatcmpl-"
    schema = ChatSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Chat, Options]:
        given = self.schema.read(body, config)
        limit = given.get("max_completion_tokens", given.get("max_tokens", config.usual_max_tokens))
        task = FineChat(
            given["model"],
            tuple(given["messages"]),
            sampling(given, seed, limit),
            given["n"],
            given["continue_final_message"],
            given["return_token_ids"],
            **tools(given),
            **thinking(given),
        )
        return task.simplest(), options(given)

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
