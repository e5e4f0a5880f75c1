"""GET /api/chat?prompt=…, the interface of llm-ui: the answer as plain text, as it comes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import MethodNotAllowed

from gateway.api.generation import location, seed, submit, wait_for
from gateway.api.streaming import events, stream
from gateway.attempts import fingerprint
from gateway.auth import owner
from gateway.dispatch import Job
from gateway.errors import CLIENT_GONE
from gateway.mailbox import ClientGone
from gateway.openapi.operation import operation
from gateway.schemas import usual_format
from gateway.schemas.outcomes import failure
from gateway.schemas.prompt import PROMPT, parse_query, prompt_task
from gateway.state import this_gateway
from shared.protocol import Delta, Event, Failed, Options, Progress

views = Blueprint("llm_ui", __name__)

_LARGE = 65_536
"""Characters that go out at once where there are more."""
_PARAMETERS = {"messages": "prompt"}
"""See `Format.parameters`."""


@views.get("/chat")
@operation("chatInPlainText", parameters=[{"in": "query", "schema": PROMPT}], media=("text/plain",))
def chat() -> ResponseReturnValue:
    """Answer a prompt in plain text, as it comes."""
    if request.method == "HEAD":  # which Flask adds to every GET: nobody would read what is computed
        raise MethodNotAllowed(["GET"])
    prompt, model = parse_query(request.args.to_dict())
    directory, config = this_gateway().directory, this_gateway().config
    card = (directory.find(model) if model else directory.default()).card
    task = prompt_task(prompt, card, seed(), config)
    mark = fingerprint(owner().name, request.path, request.query_string)
    return _answer(submit(task, usual_format(task), Options(stream=True), mark))


def _answer(job: Job) -> ResponseReturnValue:
    """Plain text cannot tell of a failure: the status line waits for the first text, however long that takes. It cannot
    tell thoughts from an answer either, and has none."""
    with wait_for(job) as waiting:
        try:
            first = next(event for event in events(job.mailbox) if not _silent(event))
        except ClientGone:
            return CLIENT_GONE
        if isinstance(first, Failed):
            raise failure(first, _PARAMETERS)
        response = stream(job, _text(job, first), waiting, "text/plain")
        response.headers.update({**location(job), "Cache-Control": "no-store"})
        return response


def _silent(event: Event) -> bool:
    return isinstance(event, Progress) or (isinstance(event, Delta) and event.reasoning)


def _text(job: Job, first: Event) -> Iterator[bytes]:
    """What is there at one time goes out in one piece. A failure now breaks the connection off before its end."""
    piece = ""
    for event in chain((first,), () if job.mailbox.last else events(job.mailbox)):
        match event:
            case Delta() if not event.channel:
                piece += event.text
            case Failed():
                raise failure(event, _PARAMETERS)
        if len(piece) > _LARGE or (piece and job.mailbox.empty()):
            yield piece.encode()
            piece = ""
    yield piece.encode()
