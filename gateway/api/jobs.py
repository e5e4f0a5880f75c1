"""GET and DELETE /v1/jobs/{id}: poll a job, cancel a job."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue

from gateway import errors
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
    this_gateway().dispatcher.cancel(job_id)
    return jsonify(job_object(job_id))


def job_object(job_id: str) -> dict[str, Any]:
    """What is known about a job now. Raises JobNotFound, StoreUnavailable."""
    gateway = this_gateway()
    with translated():
        ticket = gateway.tickets.get(job_id)
        record = streams.read(gateway.client, job_id)
        waiting = ticket.state is State.QUEUED
        position = gateway.tickets.position(ticket.model, job_id) if waiting else None
    failures = [event for event in record.events if isinstance(event, Failed)]
    error = errors.body(errors.failure(failures[-1]))["error"] if failures else None
    return render_job(ticket, record, FORMATS[type(record.accepted.task)], position, error)
