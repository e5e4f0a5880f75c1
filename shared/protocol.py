"""The one language that gateway and worker speak: tasks and events. Pure: imports nothing of ours.

A *task* is a validated request. An *event* is what a job emits while it runs. Both are frozen dataclasses whose
fields carry the names of the OpenAI API. How they travel through Redis is in codec.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


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


FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose tokens and when to stop. None means: the model's own default, else OpenAI's."""

    seed: int
    """0 <= seed < 2**32 - 1. Every job has one, so that it can be run again with the same outcome."""
    max_tokens: int | None = None
    """None: until the model stops or its context is full."""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repeat_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    logit_bias: tuple[tuple[int, float], ...] = ()
    """(token id, what is added to its logit)."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


Prompt = str | tuple[int, ...]
"""A text, or the ids of its tokens."""


@dataclass(frozen=True, slots=True)
class Completion:
    """Continue texts: `n` choices of each prompt, those of the first prompt first."""

    model: str
    prompt: tuple[Prompt, ...]
    sampling: Sampling
    n: int = 1
    best_of: int = 1
    """More than `n`: compute so many of each prompt, and answer the `n` whose tokens are the likeliest on average."""
    token_ids: bool = False
    """Tell the ids of every token, those of the prompt too."""

    @property
    def choices(self) -> int:
        """How many choices the answer has."""
        return len(self.prompt) * self.n


@dataclass(frozen=True, slots=True)
class Chat:
    """Answer a conversation, `n` times."""

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    n: int = 1
    continue_final: bool = False
    """The last message, the assistant's, is the beginning of the answer; only what comes after it is answered."""
    token_ids: bool = False
    """Tell the ids of every token, those of the prompt too."""

    @property
    def choices(self) -> int:
        """How many choices the answer has."""
        return self.n


Task = Completion | Chat


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a finished job: each prompt counts once, and every answer that was computed."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    """How many of the prompt's tokens the engine found in its cache."""


@dataclass(frozen=True, slots=True)
class Timings:
    """What the engine measured, in milliseconds."""

    prompt_ms: float
    completion_ms: float


@dataclass(frozen=True, slots=True)
class Accepted:
    """The first entry of every job's stream: everything needed to run the job again."""

    task: Task
    created: int
    """Unix time in seconds, as the answer's `created`."""
    owner: str = ""
    """The API key's name; empty where the gateway knows no keys."""
    request_id: str = ""
    """The HTTP request's `x-request-id`, for the logs."""
    tier: str = "default"
    """OpenAI's `service_tier`, by which the job's turn is decided."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The prompt is being read: `done` of `total` tokens."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the choice `index`. Its last one carries the finish reason."""

    text: str = ""
    tokens: tuple[int, ...] = ()
    """Ids of the tokens that the text was made of; -1 for one that the engine does not tell.

    Where the task wants `token_ids`, every id is there: also of tokens that have no text, in the last piece.
    """
    index: int = 0
    finish_reason: FinishReason | None = None
    logprob: float | None = None
    """Sum of the tokens' natural log probabilities; told where the task's `best_of` needs it."""
    usage: Usage | None = None
    """With the finish reason: what this choice used."""
    prompt_tokens: tuple[int, ...] = ()
    """In a choice's first piece, where the task wants `token_ids`: those of its prompt."""
    offset: int = 0
    """Characters of the choice before this piece: where it belongs, whichever execution sent it."""


@dataclass(frozen=True, slots=True)
class StartOver:
    """The answer begins anew: what came before is void. Only where nobody has read a part of it."""


@dataclass(frozen=True, slots=True)
class Done:
    """The job is completed."""

    usage: Usage
    timings: Timings | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The job has failed or was cancelled. `code` is one of `shared.errors`."""

    code: str
    message: str
    param: str | None = None


Event = Progress | Delta | StartOver | Done | Failed
