"""A batch, as its facts in the archive say. Pure values."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import ValidationError, convert, field, to_builtins

from gateway.archive.thing import Thing
from shared.errors import ArchiveDamaged
from shared.protocol import Record

OPEN = {"open": "yes"}
"""What a batch's facts have beside its own until it has ended."""


class BatchStatus(StrEnum):
    """OpenAI's. The last four are final."""

    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    FAILED = "failed"
    """Its file is none of requests: no line was answered."""
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (self.COMPLETED, self.FAILED, self.EXPIRED, self.CANCELLED)


class BatchError(Record, frozen=True):
    """What is wrong with its file."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None
    """From 1."""


class Batch(Record, frozen=True):
    """What is known of a batch beside its id, its owner and when it was made: those are its `Thing`'s."""

    endpoint: str
    """Such as `/v1/chat/completions`."""
    input_file_id: str
    completion_window: str
    due: int
    """Unix time in seconds at which it expires. So are all that follow which end with `_at`; 0: not yet."""
    status: BatchStatus = BatchStatus.VALIDATING
    model: str = ""
    """Of its first line."""
    total: int = 0
    """Requests in its file."""
    completed: int = 0
    failed: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    in_progress_at: int = 0
    finalizing_at: int = 0
    completed_at: int = 0
    failed_at: int = 0
    expired_at: int = 0
    cancelling_at: int = 0
    cancelled_at: int = 0
    output_file_id: str = ""
    error_file_id: str = ""
    output_expires_after: int = 0
    """Seconds after its making that a file of results goes; 0: as files of batches do."""
    errors: tuple[BatchError, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    mark: str = ""
    """See `Creation`."""
    traceparent: str = ""
    """The span of the request that has made it, to which the traces of its lines link."""

    @classmethod
    def of(cls, thing: Thing) -> Batch:
        """That of a thing of the kind BATCH. Raises ArchiveDamaged."""
        try:
            return convert(thing.facts, cls)
        except ValidationError as exc:
            raise ArchiveDamaged(f"{thing.id} is no batch: {exc}") from exc

    @property
    def facts(self) -> dict[str, Any]:
        """The inverse of `of`. The status is always told, and by `OPEN` those are found that have not ended."""
        return {**to_builtins(self), "status": str(self.status), **({} if self.status.final else OPEN)}
