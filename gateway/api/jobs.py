"""/v1/jobs/{id}: poll a job, cancel it, follow its events."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any

from flask import Blueprint, jsonify, request
from flask.typing import ResponseReturnValue

from gateway import access, errors, sse
from gateway.api.streaming import events_as, stream
from gateway.auth import owned
from gateway.disconnect import watch
from gateway.schemas import FORMATS
from gateway.schemas.job import render_job
from gateway.state import this_gateway
from shared import streams
from shared.protocol import Failed, State
from shared.store import translated

views = Blueprint("jobs", __name__)


@views.get("/jobs/<job_id>")
def retrieve(job_id: str) -> ResponseReturnValue:
    return jsonify(job_object(job_id))


@views.delete("/jobs/<job_id>")
def cancel(job_id: str) -> ResponseReturnValue:
    this_gateway().dispatcher.cancel(owned(job_id).id)
    return jsonify(job_object(job_id))


@views.get("/jobs/<job_id>/events")
def follow(job_id: str) -> ResponseReturnValue:
    ticket = owned(job_id)
    after = sse.place(request.headers.get("Last-Event-ID"))
    if ticket.state.final and after >= (ticket.events, math.inf):
        return "", 204  # which tells an EventSource not to come again
    with ExitStack() as waiting:
        job = this_gateway().dispatcher.follow(job_id)
        waiting.callback(this_gateway().dispatcher.detach, job)
        access.note(job)
        waiting.callback(watch(job.mailbox.leave))
        chunks = FORMATS[type(job.accepted.task)].render_chunks(job_id, job.accepted, include_usage=True)
        return stream(job, events_as(sse.numbered(chunks, after), job, None), waiting)


def job_object(job_id: str) -> dict[str, Any]:
    """What is known about a job of ours now. Raises JobNotFound, StoreUnavailable."""
    gateway = this_gateway()
    ticket = owned(job_id)
    with translated():
        record = streams.read(gateway.client, job_id)
    turn = gateway.dispatcher.turn(ticket.model, job_id) if ticket.state is State.QUEUED else None
    failures = [event for event in record.events if isinstance(event, Failed)]
    error = errors.body(errors.failure(failures[-1]))["error"] if failures else None
    return render_job(ticket, record, FORMATS[type(record.accepted.task)], turn, error)
