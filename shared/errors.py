"""What can go wrong, as one tree of exceptions.

InferqError
├── InvalidRequest            the request itself is wrong; names the parameter
│   ├── ContextLengthExceeded the prompt does not fit the model's context
│   └── EventNotFound         the job's record has no event of this id any more
├── ModelNotFound             no worker has served this model lately
├── JobNotFound               no such job, or it belongs to another API key
├── InvalidApiKey             the request carries no API key, or none of the gateway's
├── RequestTooSlow            the client takes too long to send its request
├── IdempotencyKeyReused      an Idempotency-Key came with another request than before
├── TierRefused               the request's API key may not ask for this tier
├── QueueFull                 the model's queue has reached its bound
├── KeyFull                   the jobs of the request's API key have reached theirs
├── TooManyFollowers          a job, or the request's API key, is followed on as many connections as may be
├── StoreUnavailable          Redis does not answer, or is out of memory
├── NotUnderstood             another version of inferq wrote it
├── ModelFileError            a model file is missing, truncated, foreign or hostile
├── EngineError               the engine failed
│   ├── HostDied              the engine's process died under the job
│   ├── HostUnavailable       the engine's process could not be started again: nothing is wrong with the job
│   └── ModelLoadError        the engine could not load the model
├── WorkerLost                the worker died after it had sent a part of the answer
├── DeadlineExceeded          the job waited in the queue beyond its deadline
└── JobCancelled              the client left, or asked for the end

Every class has a stable `code`. It travels in `Failed` events and in the bodies of HTTP errors; which HTTP status
belongs to it is known to `gateway/errors.py` alone.
"""

from __future__ import annotations


class InferqError(Exception):
    """Base of all errors of inferq. `param` names the request's parameter that is at fault, if one is."""

    code = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code


class InvalidRequest(InferqError):
    code = "invalid_value"


class ContextLengthExceeded(InvalidRequest):
    code = "context_length_exceeded"

    def __init__(self, prompt_tokens: int, context: int, *, param: str) -> None:
        super().__init__(
            f"This model's maximum context length is {context} tokens, but the prompt has {prompt_tokens} tokens."
            " Please shorten it.",
            param=param,
        )


class EventNotFound(InvalidRequest):
    code = "unknown_event"

    def __init__(self) -> None:
        super().__init__(
            "The job's record has no such event any more: Redis has lost a part of it. Read it again without"
            " Last-Event-ID.",
            param="Last-Event-ID",
        )


class ModelNotFound(InferqError):
    code = "model_not_found"


class JobNotFound(InferqError):
    code = "job_not_found"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id!r}.")


class InvalidApiKey(InferqError):
    code = "invalid_api_key"


class RequestTooSlow(InferqError):
    code = "request_timeout"


class IdempotencyKeyReused(InferqError):
    code = "idempotency_key_reused"


class TierRefused(InferqError):
    code = "tier_refused"


class KeyFull(InferqError):
    """The API key has as many jobs waiting and running as it may have."""

    code = "key_queue_full"


class QueueFull(InferqError):
    code = "queue_full"


class TooManyFollowers(InferqError):
    code = "too_many_followers"


class StoreUnavailable(InferqError):
    code = "store_unavailable"


class NotUnderstood(InferqError):
    code = "other_version"


class ModelFileError(InferqError):
    code = "model_file_error"


class EngineError(InferqError):
    code = "engine_error"


class HostDied(EngineError):
    """Has the code of its base: to a client it is the engine that failed."""


class HostUnavailable(EngineError):
    """Nothing was computed, and nothing is wrong with the job: another worker, or a later time, may do it."""


class ModelLoadError(EngineError):
    code = "model_load_error"


class WorkerLost(InferqError):
    code = "worker_lost"


class DeadlineExceeded(InferqError):
    code = "deadline_exceeded"


class JobCancelled(InferqError):
    code = "cancelled"
