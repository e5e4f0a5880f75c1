"""/v1/responses: have one made, also over a WebSocket, look at it, follow it, cancel it, delete it."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from typing import Any

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from gateway import answers, sse
from gateway.answers import as_json
from gateway.api import streaming
from gateway.api.generation import generate, location
from gateway.archive.thing import ThingKind
from gateway.auth import own_ticket, owner
from gateway.current_client import aside, step_aside, upgrade
from gateway.dispatch import Job
from gateway.openapi.operation import operation
from gateway.openapi.parameters import RETRIEVAL
from gateway.recordings import Recording
from gateway.schemas import FORMATS, PAUSE, Frames
from gateway.schemas.responses.answer import begun, render, respond
from gateway.schemas.responses.queries import read_retrieval
from gateway.schemas.responses.stream import ResponseStream, frames_after
from gateway.socket_memory import current_turn
from gateway.state import this_gateway
from gateway.upgrade import accept
from shared.errors import InvalidRequest, JobNotFound
from shared.protocol import Accepted, Options

views = Blueprint("responses", __name__)

_FORMAT = FORMATS["openai.responses"]


@views.post("/responses")
@operation("createResponse", formats=[_FORMAT], example={"model": "MODEL", "input": "Hello!"})
def create() -> ResponseReturnValue:
    """Answer items with items, in the background too."""
    if turn := current_turn():
        return generate(_FORMAT, amend=turn.amend)
    return generate(_FORMAT, _begin)


@views.get("/responses", websocket=True)
@operation("connectResponses", media=(), status=101)
def connect() -> ResponseReturnValue:
    """Answer messages over a WebSocket with a response each."""
    accepted = accept(request.headers)
    upgrade(request.environ)
    return Response(status=101, headers=accepted)


@views.get("/responses/<response_id>")
@operation("getResponse", parameters=RETRIEVAL, media=("application/json", "text/event-stream"))
def retrieve(response_id: str) -> ResponseReturnValue:
    """Tell a response that is stored or runs, also as its stream, from any event on."""
    asked = read_retrieval(request.args)
    found = _find(response_id)
    if not asked.stream:
        return _tell(found)
    if not found.state.final:
        try:
            with ExitStack() as waiting:
                waiting.enter_context(this_gateway().dispatcher.followers.admitted(found.id, owner().name))
                return _follow(found.id, waiting, asked.after)
        except JobNotFound:  # it has ended, and is stored where nobody follows it
            found = _find(response_id)
    events = list(answers.counted(found.events))  # all are held for as long as their reader takes
    frames = frames_after(ResponseStream(found.id, found.accepted).frames, asked.after)
    return streaming.as_it_comes(sse.replay(events, sse.plain_lines(frames)))


@views.post("/responses/<response_id>/cancel")
@operation("cancelResponse")
def cancel(response_id: str) -> ResponseReturnValue:
    """End a response that runs in the background."""
    found = _find(response_id)
    if not found.accepted.options.background:
        raise InvalidRequest(
            "Only a response that was created with 'background' can be cancelled.", param="response_id"
        )
    if not found.state.final:
        with suppress(JobNotFound):  # as above
            this_gateway().dispatcher.cancel(found.id, aside(request.environ))
        found = _find(response_id)
    return _tell(found)


@views.delete("/responses/<response_id>")
@operation("deleteResponse")
def delete(response_id: str) -> ResponseReturnValue:
    """Remove a response that is stored."""
    this_gateway().recordings.remove(ThingKind.RESPONSE, response_id, owner().name)
    return as_json({"id": response_id, "object": "response", "deleted": True})


def _begin(job: Job, options: Options) -> ResponseReturnValue:
    """Answer a request for a response in the background, whose job is sure to run."""
    if options.stream:
        with ExitStack() as waiting:
            response = _follow(job.id, waiting)
            response.headers.update(location(job))
            return response
    if job.id != job.mailbox.job_id:  # of its client's attempt before
        return _tell(_find(job.id)), 200, location(job)
    return as_json(respond(job.id, job.accepted, [], begun(job.accepted, waits=True))), 200, location(job)


def _follow(job_id: str, waiting: ExitStack, after: int = -1) -> Response:
    """The stream of a job that goes on without who reads it."""
    progress = streaming.wants_progress()
    job = streaming.follow(own_ticket(job_id), waiting)
    step_aside(request.environ)
    frames = _frames(job_id, job.accepted, after)
    # Its id is told before anything comes of the job, so that who is cut off can come again.
    pieces = streaming.events_as(sse.plain_lines(frames), job, (PAUSE,), sse.BLANK, progress=progress)
    return streaming.stream(job, pieces, waiting)


def _frames(response_id: str, accepted: Accepted, after: int) -> Frames:
    """Those of its stream after this number."""
    return frames_after(answers.counted_frames(ResponseStream(response_id, accepted).frames), after)


def _find(response_id: str) -> Recording:
    return this_gateway().recordings.find(ThingKind.RESPONSE, response_id, owner().name)


def _tell(found: Recording) -> Response:
    told: dict[str, Any] = render(found.id, found.accepted, answers.counted(found.events), found.state)
    return as_json(told)
