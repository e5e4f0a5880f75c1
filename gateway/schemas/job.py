"""The job object of /v1/jobs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gateway.schemas.wire import WireFormat
from shared.protocol import Delta, State

if TYPE_CHECKING:
    from gateway.pace import Turn
    from shared.streams import Record
    from shared.tickets import Ticket


def render_job(
    ticket: Ticket, record: Record, wire: WireFormat, turn: Turn | None, error: dict[str, Any] | None
) -> dict[str, Any]:
    """What a client that polls is told.

    `turn` is when its turn will come, None when it is not waiting; `result` is what the endpoint
    would have answered; `error` is OpenAI's error object. Times are Unix times in seconds.
    """
    done = ticket.state is State.COMPLETED
    return {
        "id": ticket.id,
        "object": "job",
        "status": ticket.state,
        "model": ticket.model,
        "created_at": record.accepted.created,
        "started_at": _seconds(ticket.started),
        "finished_at": _seconds(ticket.ended),
        "queue_position": turn and turn.position,
        "estimated_wait": math.ceil(turn.wait) if turn and turn.wait is not None else None,
        "tokens": sum(len(event.tokens) for event in record.events if isinstance(event, Delta)),
        "result": wire.render(ticket.id, record.accepted, record.events) if done else None,
        "error": error,
    }


def _seconds(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else milliseconds // 1000
