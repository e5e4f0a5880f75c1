"""The format of /v1/chat/completions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from typing import Any

from msgspec.structs import replace

from gateway.schemas.answer import fold
from gateway.schemas.format import PAUSE, Format, Frames
from gateway.schemas.logprobs import ChatLedger, Ledgers
from gateway.schemas.openai import (
    NOTHING_TOLD,
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
from gateway.schemas.stored_chats import StoringChatSchema, keep, repeat
from gateway.schemas.tools import tools
from shared.config import Config
from shared.errors import InferqError
from shared.protocol import Accepted, Call, Chat, Delta, Event, FineChat, FinishReason, Options, Task


class ChatFormat(Format):
    """`Format` of chats."""

    name = "openai.chat"
    id_prefix = "chatcmpl-"
    schema = StoringChatSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Chat, Options]:
        given = self.schema.read(body, config)
        assert isinstance(body, dict), "it was read"
        return chat_of(given, seed, config), replace(options(given), **keep(given, body))

    def render(self, job_id: str, accepted: Accepted, events: Iterable[Event]) -> dict[str, Any]:
        ledgers = Ledgers(partial(ChatLedger, accepted.task, accepted.options))
        choices, used = fold(ledgers.noted(chain.from_iterable(map(inline(accepted.options), events))))
        speech = Speech(job_id, accepted.options)
        return {
            **head(job_id, accepted, "chat.completion"),
            "choices": [
                {
                    "index": choice.index,
                    "message": speech.message(choice),
                    "logprobs": ledgers.of(choice.index).take(),
                    "finish_reason": speech.end(choice.finish_reason),
                    **token_ids(accepted.task, choice.tokens),
                }
                for choice in choices
            ],
            "usage": usage(used),
            **repeat(accepted),
            **prompt_token_ids(choices[0].prompt_tokens),
            **ledgers.of(0).prompt.take(),
        }

    def render_frames(self, job_id: str, accepted: Accepted, options: Options) -> Frames:
        opening = head(job_id, accepted, "chat.completion.chunk")
        so_far = UsageSoFar(options, prompts=1)
        ledgers = Ledgers(partial(ChatLedger, accepted.task, options))
        say = _Chunks(opening, accepted.task, Speech(job_id, options), so_far, ledgers).say
        closing = {**opening, "choices": []} if options.include_usage else None
        put, frames = inline(options), render_frames(self, say, so_far, closing)
        if not options.inlines_reasoning:
            return frames
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

    def __init__(
        self,
        opening: dict[str, Any],
        task: Task,
        speech: Speech,
        so_far: UsageSoFar,
        ledgers: Ledgers[ChatLedger],
    ) -> None:
        assert isinstance(task, Chat), "what `parse` makes"
        self._opening = opening
        self._task = task
        self._speech = speech
        self._so_far = so_far
        self._ledgers = ledgers
        self._exact = task.token_ids or so_far.continuous or task.sampling.logprobs is not None
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
        index, channel = piece.index, piece.channel
        told, prompt = self._tell(piece)
        delta: dict[str, Any] | None = None
        if channel and not self._speech.tells(piece):
            delta = {} if told else None
        elif channel and self._begins(piece):
            delta = self._speech.begin(piece)
        elif piece.text and not self._exact:
            yield self._speaker(piece)(piece.text)
        elif piece.text:
            delta = self._speech.go_on(piece, piece.text)
        elif (told or prompt) and piece.finish_reason is None:
            delta = {}
        if delta is not None:
            yield encode({**self._chunk(index, delta, told), **prompt})
            told, prompt = {}, {}
        if self._silence is None and piece.text and not channel:
            self._spoken.add(index)
        if piece.finish_reason is not None:
            silent = self._silence is None and not self._calls[index] and index not in self._spoken
            last = self._chunk(index, {"content": ""} if silent else {}, told, piece.finish_reason)
            yield encode({**last, **prompt})

    def _tell(self, piece: Delta) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a chunk says of a piece beside its text: in its choice, and beside that."""
        if not self._exact and not piece.prompt_logprobs:
            return {}, {}
        ledger = self._ledgers.of(piece.index)
        ledger.add(piece)
        told = {"logprobs": ledger.take()} if ledger else {}
        ids = token_ids(self._task, piece.tokens) if piece.tokens else {}
        return {**told, **ids}, ledger.prompt.take() if ledger.prompt else {}

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
        self,
        index: int,
        delta: dict[str, Any],
        told: Mapping[str, Any] = NOTHING_TOLD,
        reason: FinishReason | None = None,
    ) -> dict[str, Any]:
        finish_reason = None if reason is None else self._speech.end(reason)
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        told = {**token_ids(self._task, ()), **told}
        return {**self._opening, "choices": [{**choice, **told}], **self._so_far.of(index)}
