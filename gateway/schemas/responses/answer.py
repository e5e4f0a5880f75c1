"""An answer as OpenAI's Response object, whether it waits, comes, or has ended in one way or another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, assert_never

from msgspec.json import decode

from gateway.schemas.openai import encode
from gateway.schemas.outcomes import failure, outcome
from gateway.schemas.responses.output import Output
from gateway.schemas.sampling import tell_sampling
from shared.protocol import (
    Accepted,
    Delta,
    Done,
    Event,
    Failed,
    Progress,
    StartOver,
    State,
    Told,
    Usage,
    final_state,
)

PARAMETERS: Mapping[str, str] = MappingProxyType(
    {
        "messages": "input",
        "max_tokens": "max_output_tokens",
        "logprobs": "top_logprobs",
        "reasoning_effort": "reasoning.effort",
    }
)
"""See `Format.parameters`."""
_INCOMPLETE = {"length": "max_output_tokens"}
"""Why an answer is not whole, by its finish reason."""


class ResponseStatus(NamedTuple):
    """How far a response is."""

    name: str
    used: Usage | None = None
    completed_at: int | None = None
    error: dict[str, Any] | None = None
    missing: str = ""
    """Why it is incomplete."""


def begun(accepted: Accepted, *, waits: bool = False) -> ResponseStatus:
    """That of a response that has not ended. One that somebody waits for is never told as queued."""
    return ResponseStatus("queued" if waits and accepted.options.background else "in_progress")


def ended(accepted: Accepted, last: Done | Failed, reason: str) -> ResponseStatus:
    """That of a response whose job has ended, with this finish reason."""
    match last:
        case Done(usage=used) if missing := _INCOMPLETE.get(reason):
            return ResponseStatus("incomplete", used, missing=missing)
        case Done(usage=used, ended=at):
            return ResponseStatus("completed", used, max(at, accepted.created) if at else None)
        case Failed() if final_state(last) is State.CANCELLED:
            return ResponseStatus("cancelled")
        case Failed():
            return ResponseStatus("failed", error=_error(last))
        case _:
            assert_never(last)


def respond(job_id: str, accepted: Accepted, output: list[dict[str, Any]], status: ResponseStatus) -> dict[str, Any]:
    """The object."""
    options = accepted.options
    return {
        **options.asked,
        **tell_sampling(accepted.task),
        "id": job_id,
        "object": "response",
        "created_at": accepted.created,
        "status": status.name,
        "completed_at": status.completed_at,
        "background": options.background,
        "error": status.error,
        "incomplete_details": {"reason": status.missing} if status.missing else None,
        "model": accepted.task.model,
        "output": output,
        "service_tier": options.tier,
        "store": options.kept is not None,
        "usage": None if status.used is None else tell_usage(status.used),
    }


def render(job_id: str, accepted: Accepted, events: Iterable[Event], state: State = State.COMPLETED) -> dict[str, Any]:
    """`Format.render`, also of a job that has not ended, or not well: it has this state, and these events so far."""
    output, last = fold(job_id, accepted, events)
    if last is None and state.final:
        last = Failed("internal_error", "The end of the answer is not there any more.")
    status = ended(accepted, last, output.reason) if last else begun(accepted, waits=state is State.QUEUED)
    return respond(job_id, accepted, output.items(), status)


def output_items(job_id: str, accepted: Accepted, events: Iterable[Event]) -> list[dict[str, Any]]:
    """The items of an answer's output, as a client would read them: also of an answer that is not whole."""
    output, _ = fold(job_id, accepted, events)
    items: list[dict[str, Any]] = decode(encode(output.items()))
    return items


def fold(job_id: str, accepted: Accepted, events: Iterable[Event]) -> tuple[Output, Done | Failed | None]:
    """The items of an answer so far, and how it has ended."""
    output, last = Output(job_id, accepted), None
    for event in events:
        match event:
            case Delta():
                for _ in output.take(event):
                    pass
            case StartOver():
                output = Output(job_id, accepted)
            case Done() | Failed():
                last = event
                for _ in output.cut():
                    pass
            case Progress():
                pass
            case Told():
                raise AssertionError("these are no parts of a text")
            case _:
                assert_never(event)
    return output, last


def _error(event: Failed) -> dict[str, Any]:
    """OpenAI's list of codes is closed: `type` has ours."""
    found = failure(event, PARAMETERS)
    status = outcome(found.code).status
    code = "rate_limit_exceeded" if status == 429 else "invalid_prompt" if status < 500 else "server_error"
    return {"code": code, "message": found.message, "param": found.param, "type": found.code}


def tell_usage(used: Usage) -> dict[str, Any]:
    """The object that says what an answer has used."""
    return {
        "input_tokens": used.prompt_tokens,
        "input_tokens_details": {"cached_tokens": used.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": used.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": used.reasoning_tokens},
        "total_tokens": used.prompt_tokens + used.completion_tokens,
    }
