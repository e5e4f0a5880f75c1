"""Which HTTP answer belongs to which error: the one table of it. Pure; the words are a matter of the formats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.schemas.problem import CODES
from shared.errors import InferqError
from shared.protocol import Failed


class Outcome(NamedTuple):
    """How an error is answered over HTTP."""

    status: int
    retry: bool
    """Whether clients should repeat the request by themselves. OpenAI's does on 409, 429 and 5xx unless told not to."""
    retry_after: float | None = None
    """Seconds, where the error itself does not tell; at most 120, or OpenAI's client gives up."""


TOO_LARGE = "request_entity_too_large"
"""As what HTTP itself refuses is called, for a body that comes otherwise."""
_INVALID = Outcome(400, retry=False)
_UNKNOWN = Outcome(500, retry=True)

_OUTCOMES: dict[str, Outcome] = {
    **dict.fromkeys(CODES, _INVALID),
    "context_length_exceeded": _INVALID,
    "unknown_event": _INVALID,
    "request_entity_too_large": Outcome(413, retry=False),
    "file_too_large": Outcome(413, retry=False),
    TOO_LARGE: Outcome(413, retry=False),
    "model_not_found": Outcome(404, retry=False),
    "model_unavailable": Outcome(503, retry=True, retry_after=10),
    "no_worker": Outcome(503, retry=True, retry_after=5),
    "job_not_found": Outcome(404, retry=False),
    "request_timeout": Outcome(408, retry=False),
    "invalid_api_key": Outcome(401, retry=False),
    "too_many_wrong_keys": Outcome(429, retry=True, retry_after=1),
    "tier_refused": Outcome(403, retry=False),
    # Somebody else ended the job: whoever still waits for it must not start it again unasked.
    "cancelled": Outcome(409, retry=False),
    "idempotency_key_reused": Outcome(422, retry=False),
    "too_many_connections": Outcome(429, retry=True, retry_after=5),
    "queue_full": Outcome(429, retry=True, retry_after=5),
    "key_queue_full": Outcome(429, retry=True, retry_after=5),
    "gateway_busy": Outcome(503, retry=True, retry_after=1),
    "key_memory_full": Outcome(429, retry=True, retry_after=5),
    "memory_full": Outcome(503, retry=True, retry_after=5),
    "too_many_followers": Outcome(429, retry=True, retry_after=5),
    "store_unavailable": Outcome(503, retry=True, retry_after=1),
    "not_stored": Outcome(404, retry=False),
    "not_served": Outcome(501, retry=False),
    # Repeating it frees nothing.
    "archive_full": Outcome(403, retry=False),
    "archive_unavailable": Outcome(503, retry=True, retry_after=1),
    "archive_damaged": Outcome(500, retry=False),
    "model_file_error": Outcome(500, retry=False),
    # Another worker may be able to.
    "model_load_error": Outcome(500, retry=True),
    # The same request would only take the engine down once more.
    "engine_error": Outcome(500, retry=False),
    # Whoever sees this status has seen nothing of the answer, and another worker can give a whole one.
    "worker_lost": Outcome(500, retry=True),
    # The next gateway, or worker, that is asked may be of the version that wrote it.
    "other_version": Outcome(503, retry=True, retry_after=1),
    # It waited its full time. Clients that repeat it by themselves would multiply the load just when there is too much.
    "deadline_exceeded": Outcome(504, retry=False),
    "internal_error": _UNKNOWN,
}


def outcome(code: str) -> Outcome:
    """That of an error with this code."""
    return _OUTCOMES.get(code, _UNKNOWN)


def failure(event: Failed, parameters: Mapping[str, str]) -> InferqError:
    """The error that a job failed with, as the worker raised it; for `parameters` see `Format.parameters`."""
    return InferqError(event.message, param=renamed(event.param, parameters), code=event.code)


def renamed(param: str | None, parameters: Mapping[str, str]) -> str | None:
    """What a request calls the parameter, or the place in one, that an error names by the task's field."""
    name, bracket, place = (param or "").partition("[")
    return parameters.get(name, name) + bracket + place if param else None
