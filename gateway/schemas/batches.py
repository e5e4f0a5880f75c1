"""OpenAI's batches: what requests say of them, and how they are told. Pure."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from marshmallow import fields

from gateway.batches.batch import Batch
from gateway.batches.endpoints import ENDPOINTS
from gateway.schemas.files import ExpirySchema
from gateway.schemas.metadata import Metadata
from gateway.schemas.objects import Member, Strict
from gateway.schemas.parameters import Text, Word, text
from gateway.schemas.problem import refuse, show

LONGEST_WINDOW = 604_800
"""Seconds from a batch's beginning after which it expires."""
_WINDOW = "[1-9][0-9]{0,2}[hd]"
_SECONDS = {"h": 3600, "d": 86_400}


class Window(fields.Field[str]):
    """Hours or days: `24h`, `7d`."""

    json_schema: ClassVar = {"type": "string", "pattern": f"^{_WINDOW}$"}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        if not re.fullmatch(_WINDOW, window := text(value)):
            raise refuse("unsupported_value", f"{show(window)} is no number of hours or days; 24h is usual")
        if window_seconds(window) > LONGEST_WINDOW:
            raise refuse("unsupported_value", f"{show(window)} is more than {LONGEST_WINDOW // 86_400}d")
        return window


def window_seconds(window: str) -> int:
    """How long a `Window` is."""
    return int(window[:-1]) * _SECONDS[window[-1]]


class BatchSchema(Strict):
    """Of a new one."""

    input_file_id = Text(empty=False, longest=64, required=True)
    endpoint = Word(*ENDPOINTS, required=True)
    completion_window = Window(required=True)
    metadata = Metadata(load_default={})
    output_expires_after = Member(ExpirySchema)


BATCH = BatchSchema()


def render_batch(identity: str, created: int, batch: Batch) -> dict[str, Any]:
    """What is not known yet, or will not be, is null."""
    errors = [
        {"code": each.code, "message": each.message, "param": each.param, "line": each.line} for each in batch.errors
    ]
    return {
        "id": identity,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model or None,
        "errors": {"object": "list", "data": errors} if errors else None,
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "status": str(batch.status),
        "output_file_id": batch.output_file_id or None,
        "error_file_id": batch.error_file_id or None,
        "created_at": created,
        "in_progress_at": batch.in_progress_at or None,
        "expires_at": batch.due,
        "finalizing_at": batch.finalizing_at or None,
        "completed_at": batch.completed_at or None,
        "failed_at": batch.failed_at or None,
        "expired_at": batch.expired_at or None,
        "cancelling_at": batch.cancelling_at or None,
        "cancelled_at": batch.cancelled_at or None,
        "request_counts": {"total": batch.total, "completed": batch.completed, "failed": batch.failed},
        "usage": {
            "input_tokens": batch.input_tokens,
            "input_tokens_details": {"cached_tokens": batch.cached_tokens},
            "output_tokens": batch.output_tokens,
            "output_tokens_details": {"reasoning_tokens": batch.reasoning_tokens},
            "total_tokens": batch.input_tokens + batch.output_tokens,
        },
        "metadata": batch.metadata or None,
    }
