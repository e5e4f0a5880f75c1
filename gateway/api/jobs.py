"""/v1/jobs: list those that run and wait, poll a job, cancel it, follow its events."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from msgspec.structs import replace

from gateway import answers, sse
from gateway.answers import as_json
from gateway.api import streaming
from gateway.api.streaming import events_as, stream, wants_progress
from gateway.auth import own_ticket, owner, seen_ticket
from gateway.current_client import aside, step_aside
from gateway.estimate import Turn
from gateway.openapi.operation import operation
from gateway.openapi.parameters import LAST_EVENT, MODEL_FILTER, PROGRESS, paging
from gateway.overview import scope
from gateway.schemas import format_of
from gateway.schemas.job import render_job
from gateway.schemas.lists import read_paging, render_list
from gateway.schemas.openai import render_failure
from gateway.schemas.outcomes import failure, outcome
from gateway.slices import give_way
from gateway.state import this_gateway
from shared import streams
from shared.errors import EventNotFound, InvalidRequest, StoreUnavailable
from shared.protocol import Done, Event, Failed, State
from shared.store import translated
from shared.ticket import Ticket

views = Blueprint("jobs", __name__)


@views.get("/jobs")
@operation("listJobs", parameters=[*paging()[:2], MODEL_FILTER])
def index() -> ResponseReturnValue:
    """List the jobs that run, and then those that wait; those of everybody for an API key with the word `admin`."""
    gateway, page = this_gateway(), read_paging(request.args, descending=False)
    if page.descending:
        raise InvalidRequest("order: jobs are listed in one order only, 'asc'.", param="order", code="invalid_value")
    with translated():
        models = [offer.card.id for offer in gateway.directory.look_around(afresh=True)[0]]
        if wanted := request.args.get("model"):
            models = [model for model in models if model == gateway.directory.known_id(wanted)]
        found, more = gateway.tickets.list(models, scope(owner()), page.limit, page.after)
    told = []
    for ticket, place in found:
        turn = Turn(place, gateway.dispatcher.estimator.wait(ticket.model, place)) if place else None
        told.append({**render_job(ticket, turn, None, None), "owner": ticket.owner or None})
    return as_json(render_list(told, more=more))


@views.get("/jobs/<job_id>")
@operation("getJob")
def retrieve(job_id: str) -> ResponseReturnValue:
    """Tell how far a job is: its status, its place in the queue, its result or error.

    An API key with the word `admin` may ask so of anybody's job, and is not told its result.
    """
    return as_json(job_object(job_id))


@views.delete("/jobs/<job_id>")
@operation("cancelJob")
def cancel(job_id: str) -> ResponseReturnValue:
    """Cancel a job, and tell the final state that won. An API key with the word `admin` may cancel anybody's."""
    this_gateway().dispatcher.cancel(seen_ticket(job_id).id, aside(request.environ))
    return as_json(job_object(job_id))


@views.get("/jobs/<job_id>/events")
@operation("followJob", parameters=[LAST_EVENT, PROGRESS], media=("text/event-stream",))
def follow(job_id: str) -> ResponseReturnValue:
    """Send the events of a job, from the start or after `Last-Event-ID`.

    Where there is nothing more to come, it is a 204.
    """
    progress = wants_progress()
    ticket = own_ticket(job_id)
    after = sse.parse_mark(request.headers.get("Last-Event-ID"))
    if after:
        _check(after, ticket)
        if ticket.state.final and (after.number, after.part) >= (ticket.events, math.inf):
            return "", 204  # which tells an EventSource not to come again
    with ExitStack() as waiting:
        waiting.enter_context(this_gateway().dispatcher.followers.admitted(job_id, ticket.owner))
        job = streaming.follow(ticket, waiting)
        options = replace(job.accepted.options, include_usage=True)
        wire = format_of(job.accepted)
        frames = wire.render_frames(job_id, job.accepted, options)
        frames = answers.counted_frames(frames) if wire.gathers else frames
        step_aside(request.environ)
        lines = sse.numbered_lines(frames, after, lambda: job.mailbox.place)
        return stream(job, events_as(lines, job, (), sse.SINGLE, progress=progress), waiting)


def _check(after: sse.Mark, ticket: Ticket) -> None:
    """Raises EventNotFound where the record has no such event: what follows it cannot be told."""
    with translated():
        by = streams.writer(this_gateway().client, ticket.id, after.number) if after.number else ""
    if by is None or not by.startswith(after.by):
        raise EventNotFound


def job_object(job_id: str) -> dict[str, Any]:
    """What is known about a job now, and its result where it is ours. Raises JobNotFound, StoreUnavailable."""
    gateway, ticket = this_gateway(), seen_ticket(job_id)
    turn = gateway.dispatcher.turn(ticket.model, job_id) if ticket.state is State.QUEUED else None
    result = error = None
    with translated():
        if ticket.state is State.COMPLETED and ticket.owner == owner().name:
            accepted = streams.accepted(gateway.client, job_id)
            result = format_of(accepted).render(job_id, accepted, answers.counted(_whole(job_id)))
        elif ticket.state.final:
            last = [event for event in _events(job_id, ticket.events - 1) if isinstance(event, Failed)]
            error = _error(job_id, last[-1]) if last else None
    return render_job(ticket, turn, result, error)


def _whole(job_id: str) -> Iterator[Event]:
    """The record of a job that was completed when it was seen, to its end.

    Raises JobNotFound or StoreUnavailable where that is gone: its time is over, or Redis has lost its last second.
    """
    last: Event | None = None
    for last in _events(job_id):
        yield last
    if not isinstance(last, Done):
        own_ticket(job_id)
        raise StoreUnavailable("The end of the answer is not there at the moment. Please try again.")


def _error(job_id: str, event: Failed) -> Any:
    accepted = streams.accepted(this_gateway().client, job_id) if event.param else None
    found = failure(event, format_of(accepted).parameters if accepted else {})
    return render_failure(found, outcome(found.code).status)["error"]


def _events(job_id: str, after: int = 0) -> Iterator[Event]:
    """The record, which may be long: others have their turn in between."""
    for entry in streams.entries(this_gateway().client, job_id, after, pause=give_way):
        yield from filter(None, entry.events)
