"""The job object of /v1/jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.schemas.wire import WireFormat
from shared.protocol import Delta, State

if TYPE_CHECKING:
    from shared.streams import Record
    from shared.tickets import Ticket


def render_job(
    ticket: Ticket, record: Record, wire: WireFormat, position: int | None, error: dict[str, Any] | None
) -> dict[str, Any]:
    """What a client that polls is told.

    `position` is the job's place in the queue from 1, None when it is not waiting; `result` is what the endpoint
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
        "queue_position": position,
        "tokens": sum(len(event.tokens) for event in record.events if isinstance(event, Delta)),
        "result": wire.render(ticket.id, record.accepted, record.events) if done else None,
        "error": error,
    }


def _seconds(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else milliseconds // 1000
