"""What a job emits while it runs."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from shared.errors import JobCancelled
from shared.protocol.logprobs import TokenLogprob
from shared.protocol.record import Record


class State(StrEnum):
    """The states of a job. The last three are final."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @classmethod
    def _missing_(cls, value: object) -> State:
        """One that only another version knows: nothing can be said of the job but that it is there."""
        return cls.IN_PROGRESS

    @property
    def final(self) -> bool:
        return self not in (State.QUEUED, State.IN_PROGRESS)


FinishReason = Literal["stop", "length", "tool_calls"]


class Usage(Record, frozen=True):
    """Tokens of a finished job: each prompt counts once, and every answer that was computed."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    """How many of the prompt's tokens the engine found in its cache."""
    reasoning_tokens: int = 0
    """How many of the answer's tokens were thoughts."""
    trimmed: bool = False
    """Not all that was to be read before the answer had room."""


class Timings(Record, frozen=True):
    """What the engine measured, in milliseconds."""

    prompt_ms: float
    completion_ms: float


class Progress(Record, frozen=True):
    """The prompt is being read: `done` of `total` tokens."""

    done: int
    total: int


class Call(Record, frozen=True):
    """Which of an answer's tool calls a piece belongs to."""

    index: int
    name: str
    """Of the tool."""
    custom: bool = False


class Delta(Record, frozen=True):
    """A piece of the choice `index`: of its content, or in a chat of its thoughts or of one of its calls. Its last one
    carries the finish reason.

    Calls come one after the other: where one has begun, nothing more comes of those before it.
    """

    text: str = ""
    """Of a call: of its arguments. The first piece of a call may have none."""
    tokens: tuple[int, ...] = ()
    """Ids of the tokens that the text was made of; -1 for one that the engine does not tell.

    Where the task wants `token_ids`, every id is there: also of tokens that have no text, in the last piece.
    """
    index: int = 0
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    """With the finish reason: what this choice used."""
    prompt_tokens: tuple[int, ...] = ()
    """In a choice's first piece, where the task wants `token_ids`: those of its prompt."""
    offset: int = 0
    """Characters of the choice before this piece: where it belongs, whichever execution sent it."""
    reasoning: bool = False
    """The text is of the thoughts before the answer."""
    call: Call | None = None
    """The text is of the arguments of this call."""
    logprobs: tuple[TokenLogprob, ...] = ()
    """Where the task wants them: of each of `tokens`, in their order."""
    stop: str = ""
    """With the finish reason `stop`: the stop string that has ended the answer; empty where the model has."""
    prompt_text: str = ""
    """In a choice's first piece, where the task wants it told: that of its prompt, which is no part of `text`."""
    prompt_size: int = 0
    """In the first piece that is computed of a choice: how many tokens its prompt has; 0 where that is not told."""
    prompt_logprobs: tuple[TokenLogprob, ...] = ()
    """In a choice's first pieces, where the task wants them: of each token of its prompt, in their order."""

    @property
    def likelihoods(self) -> int:
        """How many log probabilities it has."""
        if not (self.logprobs or self.prompt_logprobs):
            return 0
        return sum(1 + len(each.top) for each in (*self.logprobs, *self.prompt_logprobs))

    @property
    def channel(self) -> Call | bool:
        """What its text is of: a call, or else whether it is of the thoughts."""
        return self.call or self.reasoning


class StartOver(Record, frozen=True):
    """The answer begins anew: what came before is void. Only where nobody has read a part of it."""


class Told(Record, frozen=True):
    """What a task tells that generates no text."""


class TokenizerEvent(Told, frozen=True):
    """What a task tells that asks a tokenizer."""


class Encoded(TokenizerEvent, frozen=True):
    """What an `Encoding` asks for."""

    text: str
    """Of a conversation: what its template makes of it. Of a text nothing: whoever asks has it."""
    tokens: tuple[int, ...]
    pieces: tuple[bytes, ...] = ()
    """The text of each, in UTF-8: it may be a part of a character."""
    context: int = 0
    """How many tokens the model can hold."""


class Decoded(TokenizerEvent, frozen=True):
    """What a `Decoding` asks for."""

    text: str
    added: int = 0
    """Characters at its beginning that the tokenizer puts before every text: who encodes it again leaves them out."""


class Described(TokenizerEvent, frozen=True):
    """What a `Describing` asks for."""

    tokenizer: str
    """A JSON object with the names of Hugging Face's `tokenizer_config.json`."""


class Pooled(Told, frozen=True):
    """Vectors of a `PoolingTask`: of some inputs that follow one another. They come in any order."""

    first: int
    """The place of the first of these inputs, from 0."""
    vectors: tuple[bytes, ...]
    """Of each input its numbers as float32, little-endian."""
    tokens: tuple[int, ...]
    """Of each input how many tokens were read."""


class Done(Record, frozen=True):
    """The job is completed."""

    usage: Usage
    timings: Timings | None = None
    ended: int = 0
    """Unix time in seconds, by the worker's clock. 0 in what release 0.2.0 wrote."""
    nanoseconds: int = 0
    """Of that second, in the same way."""

    @property
    def ended_ns(self) -> int:
        """Unix time in nanoseconds."""
        return self.ended * 10**9 + self.nanoseconds


class Failed(Record, frozen=True):
    """The job has failed or was cancelled. `code` is one of `shared.errors`."""

    code: str
    message: str
    param: str | None = None


Event = Progress | Delta | StartOver | Encoded | Decoded | Described | Pooled | Done | Failed


def final_state(event: Event) -> State | None:
    """How the job has ended with this event; None where it goes on."""
    match event:
        case Done():
            return State.COMPLETED
        case Failed(code=JobCancelled.code):
            return State.CANCELLED
        case Failed():
            return State.FAILED
    return None
