"""What can go wrong, as one tree of exceptions.

InferqError
├── InvalidRequest            the request itself is wrong; names the parameter
│   ├── ContextLengthExceeded the prompt does not fit the model's context
│   ├── EventNotFound         the job's record has no event of this id any more
│   └── FileTooLarge          a file has more bytes than one may have
├── ModelNotFound             no worker serves this model, or has lately, or will soon
├── ModelUnavailable          the model is known, but no worker can serve it at the moment
├── NoWorker                  no worker is there, or was lately: which models there will be is not known
├── JobNotFound               no such job, or it belongs to another API key
├── InvalidApiKey             the request carries no API key, or none of the gateway's
├── TooManyWrongKeys          too many wrong API keys came from the request's peer
├── RequestTooSlow            the client takes too long to send its request
├── TooManyConnections        one address, or one API key, holds as many connections as it may
├── GatewayBusy               this process holds as many bytes of requests as it may
├── IdempotencyKeyReused      an Idempotency-Key came with another request than before
├── TierRefused               the request's API key may not ask for this tier
├── QueueFull                 the model's queue has reached its bound
├── KeyFull                   the jobs of the request's API key have reached theirs
├── KeyMemoryFull             they hold as much of the queue's memory as they may
├── MemoryFull                the queue's memory has no room for further jobs
├── TooManyFollowers          a job, or the request's API key, is followed on as many connections as may be
├── StoreUnavailable          Redis does not answer, or is out of memory
├── NotStored                 nothing is stored under this id, or it belongs to another API key
├── ArchiveFull               what is stored, by an API key or by all, has reached its bound
├── ArchiveUnavailable        what is stored can be neither read nor written at the moment
├── ArchiveDamaged            what is stored under this id is not what was written
├── NotServed                 OpenAI or Anthropic have such an endpoint, and inferq has not
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
belongs to it is known to `gateway/errors.py` alone. What goes wrong on a worker's machine has `words` for those who
ask; the message is for those who look after the machine. `misfits.py` has what will never be served.
"""

from __future__ import annotations


class InferqError(Exception):
    """Base of all errors of inferq. `param` names the request's parameter that is at fault, if one is."""

    code = "internal_error"
    words = ""  # what clients are told in place of the message; empty where that is meant for them
    permanent = False
    """Whether it is in vain to try again as long as nobody changes anything: whoever would is to say so, and end."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = self.code if code is None else code

    @property
    def public(self) -> str:
        """What may be told to clients."""
        return self.words or self.message


class InvalidRequest(InferqError):
    code = "invalid_value"
    permanent = True


class ContextLengthExceeded(InvalidRequest):
    code = "context_length_exceeded"

    def __init__(self, prompt_tokens: int, context: int, *, param: str, whole: bool = True) -> None:
        """Not `whole`: the prompt has at least so many tokens; the rest was not counted."""
        count = f"{prompt_tokens}" if whole else f"at least {prompt_tokens}"
        super().__init__(
            f"This model's maximum context length is {context} tokens, but the prompt has {count} tokens."
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


class FileTooLarge(InvalidRequest):
    code = "file_too_large"


class ModelNotFound(InferqError):
    code = "model_not_found"
    permanent = True


class ModelUnavailable(InferqError):
    code = "model_unavailable"


class NoWorker(InferqError):
    code = "no_worker"


class JobNotFound(InferqError):
    code = "job_not_found"

    def __init__(self, job_id: str, *, param: str | None = None) -> None:
        super().__init__(f"There is no job {job_id[:64]!r}.", param=param)


class InvalidApiKey(InferqError):
    code = "invalid_api_key"


class TooManyWrongKeys(InferqError):
    code = "too_many_wrong_keys"

    def __init__(self) -> None:
        super().__init__("Too many wrong API keys came from your address. Please try again later.")


class RequestTooSlow(InferqError):
    code = "request_timeout"


class TooManyConnections(InferqError):
    code = "too_many_connections"

    def __init__(self) -> None:
        super().__init__("There are too many connections of this client. Please close some.")


class GatewayBusy(InferqError):
    code = "gateway_busy"


class IdempotencyKeyReused(InferqError):
    code = "idempotency_key_reused"


class TierRefused(InferqError):
    code = "tier_refused"


class KeyFull(InferqError):
    """The API key has as many jobs waiting and running as it may have."""

    code = "key_queue_full"


class KeyMemoryFull(InferqError):
    """The jobs of the API key hold as many bytes of the queue as they may."""

    code = "key_memory_full"


class MemoryFull(InferqError):
    """The queue's memory has room for what runs and waits, and for nothing new."""

    code = "memory_full"


class QueueFull(InferqError):
    code = "queue_full"


class TooManyFollowers(InferqError):
    code = "too_many_followers"


class StoreUnavailable(InferqError):
    code = "store_unavailable"


class NotStored(InferqError):
    code = "not_stored"

    def __init__(self, thing_id: str, *, param: str | None = None) -> None:
        super().__init__(f"There is nothing stored under {thing_id[:64]!r}.", param=param)


class ArchiveFull(InferqError):
    code = "archive_full"


class ArchiveUnavailable(InferqError):
    code = "archive_unavailable"
    words = "What is stored is out of reach at the moment. Please try again."


class ArchiveDamaged(InferqError):
    code = "archive_damaged"
    words = "What is stored under this id was damaged on its disk, and cannot be read."


class NotServed(InferqError):
    code = "not_served"


class NotUnderstood(InferqError):
    code = "other_version"


class ModelFileError(InferqError):
    code = "model_file_error"
    words = "The model's file cannot be served."


class EngineError(InferqError):
    code = "engine_error"
    words = "The engine failed."


class HostDied(EngineError):
    """Has the code of its base: to a client it is the engine that failed."""

    words = "The engine's process died under the job."


class HostUnavailable(EngineError):
    """Nothing was computed, and nothing is wrong with the job: another worker, or a later time, may do it."""

    words = "The engine's process cannot be started again."


class ModelLoadError(EngineError):
    code = "model_load_error"
    words = "The engine cannot load the model."


class WorkerLost(InferqError):
    code = "worker_lost"


class DeadlineExceeded(InferqError):
    code = "deadline_exceeded"


class JobCancelled(InferqError):
    code = "cancelled"
