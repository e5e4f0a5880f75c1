"""The job object of /v1/jobs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.estimate import Turn
    from shared.ticket import Ticket


def render_job(ticket: Ticket, turn: Turn | None, result: Any, error: dict[str, Any] | None) -> dict[str, Any]:
    """What a client that polls is told.

    `turn` is when its turn will come, None when it is not waiting; `result` is what the endpoint would have answered,
    once it is completed; `error` is OpenAI's error object, where it has failed. Times are Unix times in seconds.
    """
    return {
        "id": ticket.id,
        "object": "job",
        "status": ticket.state,
        "model": ticket.model,
        "created_at": _seconds(ticket.created),
        "started_at": _seconds(ticket.started),
        "finished_at": _seconds(ticket.ended),
        "queue_position": turn and turn.position,
        "estimated_wait": math.ceil(turn.wait) if turn and turn.wait is not None else None,
        "tokens": ticket.tokens,
        "result": result,
        "error": error,
    }


def _seconds(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else milliseconds // 1000
