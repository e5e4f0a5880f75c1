"""The spans of an execution: how its job has waited, how its prompt was read, and how its answer was written.

Names and `gen_ai.*` are those of OpenTelemetry's conventions for generative models; what they have no word for is
`inferq.*`. Nothing tells what was asked or answered.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from shared import tracing
from shared.protocol import (
    Accepted,
    Chat,
    Completion,
    Delta,
    Done,
    Embedding,
    Event,
    Failed,
    FineChat,
    FineCompletion,
    Reranking,
    Task,
    TextTask,
)
from shared.ticket import Claim
from shared.tracing import Carried, Tracing

_OPERATIONS: dict[type[Task], str] = {
    Chat: "chat",
    FineChat: "chat",
    Completion: "text_completion",
    FineCompletion: "text_completion",
    Embedding: "embeddings",
    Reranking: "rerank",
}
"""Those of the conventions, and one of ours; what is asked of a tokenizer is none of theirs."""
_TOKENIZE = "tokenize"
_SAMPLING = ("max_tokens", "temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty")
_MS = 1_000_000


class ExecutionSpans:
    """Of one execution of a job that is traced. Its span has the execution's name for an id, so that whoever takes the
    job over can tell of one that has died."""

    def __init__(self, here: Tracing, execution_id: str, claim: Claim, accepted: Accepted) -> None:
        """They begin now."""
        self._here = here
        self._task = accepted.task
        self._began = now = time.time_ns()
        self._answered: int | None = None
        self._ended: int | None = None
        parent: Carried = accepted.traceparent, accepted.tracestate
        model = accepted.task.model
        ours = {"inferq.job_id": claim.job_id, "inferq.tier": accepted.options.tier}
        operation = _OPERATIONS.get(type(accepted.task), _TOKENIZE)
        name, asked = f"{operation} {model}", ours | _asked(operation, accepted.task)
        since = now - claim.queued * _MS
        if claim.lost:
            lost = here.start(name, parent, since - claim.ran * _MS, asked, _identity(claim.lost))
            here.fail(lost, "worker_lost")
            lost.end(since)
        here.start(f"queue {model}", parent, since, ours | {"inferq.tries": claim.tries}).end(now)
        own = {"inferq.tries": claim.tries, "gen_ai.response.model": model, "gen_ai.response.id": claim.job_id}
        self._span = here.start(name, parent, now, asked | own, _identity(execution_id))

    @classmethod
    def begin(cls, execution_id: str, claim: Claim, accepted: Accepted) -> ExecutionSpans | None:
        """None where the job is not traced, or this process is not."""
        here = tracing.here()
        return cls(here, execution_id, claim, accepted) if here and accepted.traceparent else None

    def answer(self) -> None:
        """The answer begins: its first piece is there."""
        self._answered = time.time_ns()

    def stop(self) -> None:
        """All is computed; the end has yet to be sent."""
        self._ended = time.time_ns()

    def end(self, events: Sequence[Event], outcome: str) -> None:
        """It is over, after these events; `outcome` says why its job has not ended with it, if it has not."""
        if outcome == "fenced" or not self._span.is_recording():  # whoever has its job tells that it was lost
            return
        ended = self._ended or time.time_ns()
        if isinstance(self._task, TextTask):
            self._part("prefill", self._began, self._answered or ended)
            if self._answered:
                self._part("decode", self._answered, ended)
        match events[-1] if events and not outcome else None:
            case Done() as done:
                outcome = "completed"
                self._span.set_attributes(_answer(done, events))
            case Failed(code=code):
                outcome = code
                self._here.fail(self._span, code)
        self._span.set_attribute("inferq.outcome", outcome)
        self._span.end(ended)

    def _part(self, name: str, began: int, ended: int) -> None:
        self._here.start(name, self._span, began, {}).end(ended)


def _identity(execution_id: str) -> str:
    return execution_id.partition("-")[0]


def _asked(operation: str, task: Task) -> dict[str, Any]:
    """What a task asks for, without any text of it."""
    told: dict[str, Any] = {"gen_ai.operation.name": operation, "gen_ai.provider.name": "inferq"}
    told["gen_ai.request.model"] = task.model
    if isinstance(task, TextTask):
        given = {name: getattr(task.sampling, name) for name in _SAMPLING}
        told |= {f"gen_ai.request.{name}": value for name, value in given.items() if value is not None}
        if task.choices > 1:
            told["gen_ai.request.choice.count"] = task.choices
    return told


def _answer(done: Done, events: Iterable[Event]) -> dict[str, Any]:
    usage = done.usage
    reasons = {each.index: each.finish_reason for each in events if isinstance(each, Delta) and each.finish_reason}
    return {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens,
        "gen_ai.response.finish_reasons": [reasons[index] for index in sorted(reasons)],
    }
