"""How a job begins: what was accepted, and how it is to be answered."""

from __future__ import annotations

from typing import Any

from msgspec import field
from msgspec.structs import replace

from shared.protocol.record import Record
from shared.protocol.tasks import Task, TextTask


class Kept(Record, frozen=True):
    """What is stored for days beside an answer: what it is the answer to."""

    given: tuple[Any, ...] = ()
    """What the model was given, in the format's words: items, or messages. It lies apart in Redis, until the answer is
    stored: neither the task nor a head has it."""
    inherited: int = 0
    """How many of these, the first, came from the answer or the conversation before."""
    conversation: str = ""
    """The id of the conversation that gets the others, and the answer."""


class Options(Record, frozen=True):
    """What of a request concerns only how its answer is sent, and how soon."""

    stream: bool = False
    include_usage: bool = False
    """A stream tells the usage before it ends."""
    tier: str = "default"
    """OpenAI's `service_tier`, by which the job's turn is decided."""
    continuous_usage: bool = False
    """Each chunk of a stream that tells the usage says what its choice has used so far."""
    legacy_functions: bool = False
    """A call is told as OpenAI's `function_call`, as it was before there were tools."""
    hides_reasoning: bool = False
    """Thoughts are not told; their tokens are counted all the same."""
    inlines_reasoning: bool = False
    """Thoughts are told within the content, between tags."""
    tokens_as_ids: bool = False
    """With their log probabilities tokens are told by their ids, and not as texts."""
    prompt_logprobs: int | None = None
    """Those of the prompt are told apart from the answer's, with so many of the likeliest; None: not told there."""
    background: bool = False
    """Its client does not wait for the answer: it runs whoever leaves."""
    asked: dict[str, Any] = field(default_factory=dict)
    """What of the request its answer repeats, in its format's words."""
    kept: Kept | None = None
    """What is stored with the answer once it has ended; None: it is not stored."""
    stay: float | None = None
    """Seconds that the model is to stay loaded after it, though nobody asks for it; None: as its operator says."""
    fields: tuple[str, ...] = ()
    """llama.cpp's `response_fields`: what of the answer is told, by paths such as `timings/prompt_n`; none: all."""


class Accepted(Record, frozen=True):
    """The first entry of every job's stream: everything needed to run the job again, and to answer it."""

    task: Task
    created: int
    """Unix time in seconds, as the answer's `created`."""
    owner: str = ""
    """The API key's name; empty where the gateway knows no keys."""
    request_id: str = ""
    """The HTTP request's `x-request-id`, for the logs."""
    format: str = ""
    """The name of the format in which it is answered; empty in what release 0.1.0 wrote."""
    options: Options = Options()
    fingerprint: str = ""
    """OpenAI's `system_fingerprint`: of what is served when the job is accepted. Empty in what release 0.2.0 wrote."""
    traceparent: str = ""
    """W3C's: where in which trace the job belongs. Empty where its gateway is not traced."""
    tracestate: str = ""
    """The same of its client."""
    nanoseconds: int = 0
    """Of the second in which it was created; 0 in what release 0.2.0 wrote."""

    @property
    def created_ns(self) -> int:
        """Unix time in nanoseconds."""
        return self.created * 10**9 + self.nanoseconds

    def head(self) -> Accepted:
        """What an answer needs of it, which is small: all but what is to be computed. Its own head is the same."""
        return replace(self.alone(), task=self.task.head())

    def alone(self) -> Accepted:
        """All but what is only stored with the answer."""
        kept = self.options.kept
        if kept is None or not kept.given:
            return self
        return replace(self, options=replace(self.options, kept=replace(kept, given=())))

    def restore(self, task: Task) -> Accepted:
        """What was accepted, of its head and of the same request, which came again: only a seed may be drawn anew."""
        if isinstance(task, TextTask) and isinstance(self.task, TextTask):
            task = replace(task, sampling=replace(task.sampling, seed=self.task.sampling.seed))
        return replace(self, task=task)

    def beside(self, given: tuple[Any, ...]) -> Accepted:
        """The inverse of `alone`."""
        kept = self.options.kept
        return self if kept is None else replace(self, options=replace(self.options, kept=replace(kept, given=given)))
