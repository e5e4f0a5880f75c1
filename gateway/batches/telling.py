"""What became of a line, in the words of its endpoint: its answer, or why there is none."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from msgspec import Raw

from gateway import bodies
from gateway.batches.ending import NOTHING, LineEnd
from gateway.batches.results import answered, line_id
from gateway.schemas import Format, format_of
from gateway.schemas.openai import encode
from gateway.schemas.outcomes import failure, outcome
from shared.errors import InferqError
from shared.protocol import Accepted, Done, Event, Failed

log = logging.getLogger(__name__)


def tell(
    batch_id: str, number: int, custom_id: str, job_id: str, accepted: Accepted, events: Sequence[Event], size: int
) -> LineEnd | InferqError:
    """Of a line whose job has ended with these events, of so many bytes; where it has failed, the error."""
    wire = format_of(accepted)
    last = events[-1]
    if isinstance(last, Failed):
        return failure(last, wire.parameters)
    used = last.usage if isinstance(last, Done) else NOTHING

    def render() -> bytes:
        body = Raw(encode(wire.render(job_id, accepted, events)))
        return answered(line_id(batch_id, number), custom_id, 200, accepted.request_id, body)

    return LineEnd(number, True, bodies.apart(accepted.owner, size, render), used, job_id)


def refuse(
    batch_id: str, number: int, custom_id: str, job_id: str, wire: Format, error: InferqError, request_id: str
) -> LineEnd:
    """Of a line that is answered with an error."""
    if error.words:  # the message is for who looks after the machine
        log.warning("line %d of %s: %s", number, batch_id, error.message)
    told = InferqError(error.public, param=error.param, code=error.code)
    status = outcome(error.code).status
    body = wire.render_failure(told, status)
    text = answered(line_id(batch_id, number), custom_id, status, request_id, body)
    return LineEnd(number, False, text, job_id=job_id)
