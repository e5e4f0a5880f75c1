"""The format of /v1/chat/completions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
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
from gateway.schemas.speech import Speech, inline
from gateway.schemas.tools import tools
from shared.config import Config
from shared.errors import InferqError
from shared.protocol import Accepted, Call, Chat, Delta, Event, FineChat, FinishReason, Options, Task


class ChatFormat(Format):
    """`Format` of chats."""

    name = "openai.chat"
    id_prefix = "chatcmpl-"
    schema = ChatSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Chat, Options]:
        given = self.schema.read(body, config)
        return chat_of(given, seed, config), options(given)

    def render(self, job_id: str, accepted: Accepted, events: Iterable[Event]) -> dict[str, Any]:
        choices, used = fold(chain.from_iterable(map(inline(accepted.options), events)))
        speech = Speech(job_id, accepted.options)
        return {
            **head(job_id, accepted, "chat.completion"),
            "choices": [
                {
                    "index": choice.index,
                    "message": speech.message(choice),
                    "logprobs": None,
                    "finish_reason": speech.end(choice.finish_reason),
                    **token_ids(accepted.task, choice.tokens),
                }
                for choice in choices
            ],
            "usage": usage(used),
            **prompt_token_ids(choices[0].prompt_tokens),
        }

    def render_frames(self, job_id: str, accepted: Accepted, options: Options) -> Frames:
        opening = head(job_id, accepted, "chat.completion.chunk")
        so_far = UsageSoFar(options, prompts=1)
        say = _Chunks(opening, accepted.task, Speech(job_id, options), so_far).say
        closing = {**opening, "choices": []} if options.include_usage else None
        put, frames = inline(options), render_frames(self, say, so_far, closing)
        return lambda event: chain.from_iterable(map(frames, put(event)))

    def render_failure(self, error: InferqError, status: int) -> dict[str, Any]:
        return render_failure(error, status)


def chat_of(given: dict[str, Any], seed: int, config: Config) -> Chat:
    """What `ChatSchema.read` returned, as a task. Raises InvalidRequest."""
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
    return task.simplest()


class _Chunks:
    """The chunks of one stream."""

    def __init__(self, opening: dict[str, Any], task: Task, speech: Speech, so_far: UsageSoFar) -> None:
        assert isinstance(task, Chat), "what `parse` makes"
        self._opening = opening
        self._task = task
        self._speech = speech
        self._so_far = so_far
        self._exact = task.token_ids or so_far.continuous
        self._announce = announcer(task.choices)
        self._silence = None if isinstance(task, FineChat) else ""
        """The content as long as there is none, for where there are calls there need not be any."""
        self._spoken = set[int]()
        """The choices that have content, where it was null."""
        self._calls = Counter[int]()
        """How many calls of each choice have begun."""
        self._speakers = dict[int, tuple[Call | bool, Callable[[str], bytes]]]()
        """Of each choice, the channel that its last piece was of, and what makes a chunk of that."""

    def say(self, piece: Delta) -> Iterator[bytes]:
        if piece is PAUSE:
            yield encode(self._chunk(0, {"content": self._silence}))
            return
        for index in self._announce(piece.index):
            role = self._chunk(index, {"role": "assistant", "content": self._silence})
            yield encode({**role, **prompt_token_ids(piece.prompt_tokens)} if index == 0 else role)
        self._so_far.note(piece)
        index, left, channel = piece.index, piece.tokens, piece.channel
        if channel and not self._speech.tells(piece):
            if left and self._task.token_ids:
                yield encode(self._chunk(index, {}, left))
                left = ()
        elif channel and self._begins(piece):
            yield encode(self._chunk(index, self._speech.begin(piece), left))
            left = ()
        elif piece.text and self._exact:
            yield encode(self._chunk(index, self._speech.go_on(piece, piece.text), left))
            left = ()
        elif piece.text:
            yield self._speaker(piece)(piece.text)
            left = ()
        if self._silence is None and piece.text and not channel:
            self._spoken.add(index)
        if piece.finish_reason is not None:
            silent = self._silence is None and not self._calls[index] and index not in self._spoken
            yield encode(self._chunk(index, {"content": ""} if silent else {}, left, piece.finish_reason))

    def _begins(self, piece: Delta) -> bool:
        """Whether it is the first piece of its call."""
        if piece.call is None or piece.call.index < self._calls[piece.index]:
            return False
        self._calls[piece.index] = piece.call.index + 1
        return True

    def _speaker(self, piece: Delta) -> Callable[[str], bytes]:
        spoke, speaker = self._speakers.get(piece.index, (None, None))
        if speaker is None or spoke != piece.channel:
            speaker = cut(lambda text: self._chunk(piece.index, self._speech.go_on(piece, text)))
            self._speakers[piece.index] = piece.channel, speaker
        return speaker

    def _chunk(
        self, index: int, delta: dict[str, Any], tokens: tuple[int, ...] = (), reason: FinishReason | None = None
    ) -> dict[str, Any]:
        finish_reason = None if reason is None else self._speech.end(reason)
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._opening, "choices": [{**choice, **token_ids(self._task, tokens)}], **self._so_far.of(index)}
