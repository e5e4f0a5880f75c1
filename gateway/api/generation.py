"""What the endpoints that have something computed have in common: submit, then answer whole, as a stream, or later."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from flask import Response, after_this_request, g, request
from flask.typing import ResponseReturnValue

from gateway import access, answers, bodies, request_span, sse
from gateway.answers import as_json
from gateway.api.body import check_is_json
from gateway.api.jobs import job_object
from gateway.api.streaming import events, events_as, first_events, stream, wants_progress
from gateway.attempts import fingerprint, read_visit
from gateway.auth import owner
from gateway.current_client import aside, has_left, step_aside
from gateway.disconnect import watch
from gateway.dispatch import Job
from gateway.errors import CLIENT_GONE
from gateway.mailbox import ClientGone
from gateway.reading import as_it_is, understand
from gateway.schemas import EVENTS, PAUSE, Format
from gateway.schemas.caps import capped
from gateway.schemas.outcomes import failure, renamed
from gateway.state import this_gateway
from shared.card import Ability
from shared.errors import InvalidRequest
from shared.protocol import Event, Failed, Options, Task
from shared.store import translate_loss

_NONE: Mapping[str, Ability] = {}
Begin = Callable[[Job, Options], ResponseReturnValue]
"""Answers a request for what is to run in the background."""
Amend = Callable[[Any], Any]
Spare = Callable[[Format, Task, Options], ResponseReturnValue | None]
"""Answers a request for which nothing need be computed; None of any other."""


def generate(
    wire: Format, begin: Begin | None = None, amend: Amend = as_it_is, spare: Spare | None = None
) -> ResponseReturnValue:
    """Answer the current request in a format, also where it fails; `begin` where the format knows a background.

    `amend` makes what was sent into what is asked.
    """
    g.format = wire
    check_is_json()
    wire, task, options, mark, ignored, needs = _read(wire, amend)
    if spare and (told := spare(wire, task, options)):
        return told
    return answer(wire, task, options, mark, ignored, needs, begin)


def answer(
    wire: Format,
    task: Task,
    options: Options,
    mark: str,
    ignored: list[str],
    needs: Mapping[str, Ability] = _NONE,
    begin: Begin | None = None,
) -> ResponseReturnValue:
    """Answer the current request, of which nothing else is to be read; see `_read`."""
    g.format = wire
    after_this_request(partial(_tell, ignored))
    preferences = request.headers.get("Prefer", "").lower().split(",")
    later, progress = "respond-async" in map(str.strip, preferences), wants_progress()
    waits = not (later or options.background)
    if waits and has_left(request.environ):  # while its body was read
        return CLIENT_GONE
    job = submit(task, wire, options, mark, waits=waits)
    ignored += this_gateway().directory.ignored(job.accepted.task.model, needs)
    if not waits:
        _promise(job)
        _ask_to_stay(job, options, ignored)
        if later:
            return _later(job)
        assert begin, "of a format that knows no background"
        with translate_loss():
            return begin(job, options)
    with wait_for(job) as waiting:
        try:
            _ask_to_stay(job, options, ignored)
            if not options.stream:
                return _whole(job, wire)
            return _stream(job, wire, options, waiting, progress=progress)
        except ClientGone:
            return CLIENT_GONE


def _tell(ignored: list[str], response: Response) -> Response:
    if ignored:
        response.headers["x-inferq-ignored"] = ", ".join(dict.fromkeys(ignored))
    return response


def _read(wire: Format, amend: Amend) -> tuple[Format, Task, Options, str, list[str], Mapping[str, Ability]]:
    """In which format the current request asks and what for, its fingerprint, what of it asks for nothing here, and
    what for nothing of a model that lacks an ability.

    Its bytes are let go of here: the answer takes longer.
    """
    who, path, config = owner().name, request.path, this_gateway().config
    request.max_content_length = this_gateway().directory.largest_body()
    with bodies.received(request, who) as body:

        def look(found: Format, asked: Any) -> tuple[str, list[str], Mapping[str, Ability]]:
            with capped(config):
                return fingerprint(who, path, body), found.schema.ignored(asked), found.schema.needs(asked)

        found, task, options, looked = understand(wire, body, who, seed(), look, amend)
        return found, task, options, *looked


def seed() -> int:
    """A seed for a request that gives none."""
    return random.randrange(2**32 - 1)


def submit(task: Task, wire: Format, options: Options, mark: str, *, waits: bool = True) -> Job:
    """Have the current request's task computed; `mark` is its fingerprint. Raises what the dispatcher does.

    `waits`: its client waits for the answer; with `options.stream` it reads it as it comes.
    """
    g.model, who = task.model, owner()
    usual = this_gateway().config.request_timeout
    parts = waits and options.stream
    client = read_visit(request.headers, who.name, mark, waits=waits, parts=parts, usual=usual)
    client.carried = request_span.carried()
    try:
        job = this_gateway().dispatcher.submit(task, wire, options, who, g.request_id, client)
    except InvalidRequest as exc:
        exc.param = renamed(exc.param, wire.parameters)
        raise
    access.note(job)
    return job


@contextmanager
def wait_for(job: Job) -> Iterator[ExitStack]:
    """Wait for a job for the client of the current request, who may leave. Whoever streams takes the stack along."""
    with ExitStack() as waiting:
        waiting.callback(this_gateway().dispatcher.close, job)
        waiting.callback(watch(job.mailbox.leave))
        step_aside(request.environ)
        yield waiting


def _promise(job: Job) -> None:
    """Make sure of a job whose client leaves: from here on nothing that is killed loses it."""
    gateway = this_gateway()
    try:
        with aside(request.environ):
            gateway.confirmer.confirm(job.id)
    except BaseException:
        gateway.dispatcher.withdraw(job)
        raise


def _ask_to_stay(job: Job, options: Options, ignored: list[str]) -> None:
    """Once the model has work, and not before: it might leave at once. Redis may take its time for it."""
    if options.stay is not None and not this_gateway().directory.ask_to_stay(job.accepted.task.model, options.stay):
        ignored.append("keep_alive")


def _later(job: Job) -> ResponseReturnValue:
    """What was promised."""
    with translate_loss():
        return as_json(job_object(job.id)), 202, {**location(job), "Preference-Applied": "respond-async"}


def _whole(job: Job, wire: Format) -> ResponseReturnValue:
    return as_json(wire.render(job.id, job.accepted, answers.counted(_unless_failed(job, wire)))), 200, location(job)


def _unless_failed(job: Job, wire: Format) -> Iterator[Event]:
    """The events of a job that ends well."""
    for event in events(job.mailbox):
        if isinstance(event, Failed):
            raise failure(event, wire.parameters)
        yield event


def _stream(job: Job, wire: Format, options: Options, waiting: ExitStack, *, progress: bool) -> ResponseReturnValue:
    begun = first_events(job.mailbox, this_gateway().config.headers_after)
    if begun and isinstance(failed := begun[-1], Failed):
        raise failure(failed, wire.parameters)
    if wire.greets:
        begun.insert(0, PAUSE)
    frames = wire.render_frames(job.id, job.accepted, options)
    frames = answers.counted_frames(frames) if wire.gathers else frames
    in_events = wire.stream_media == EVENTS  # in others there are no comments
    lines = sse.plain_lines(frames) if in_events else sse.bare_lines(frames)
    news = partial(this_gateway().directory.arrival, job.accepted.task.model) if wire.awaits_model else None
    pieces = events_as(lines, job, begun, sse.BLANK, progress=progress and in_events, news=news)
    response = stream(job, pieces, waiting, wire.stream_media)
    response.headers.update(location(job))
    return response


def location(job: Job) -> dict[str, str]:
    return {"Location": f"/v1/jobs/{job.id}"}
