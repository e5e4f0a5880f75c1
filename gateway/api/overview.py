"""/v1/overview: what goes on, now and in the last hour, and the same as it changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from gateway.answers import as_json
from gateway.api.streaming import as_it_comes
from gateway.auth import owner
from gateway.current_client import step_aside
from gateway.disconnect import watch
from gateway.openapi.operation import operation
from gateway.overview import scope
from gateway.state import this_gateway
from gateway.watchers import Watcher, frame
from shared.store import translated

views = Blueprint("overview", __name__)


@views.get("/overview")
@operation("getOverview")
def show() -> ResponseReturnValue:
    """Tell what goes on: models, jobs and failures, and what the last hour was like.

    An API key sees its own jobs and requests, one with the word `admin` everybody's, the workers and the gateways.
    """
    with translated():
        return as_json(this_gateway().overviews.whole(scope(owner())))


@views.get("/overview/events")
@operation("watchOverview", media=("text/event-stream",))
def follow() -> ResponseReturnValue:
    """Send the overview at once, and every two seconds what has changed: of the last hour its last two minutes."""
    gateway = this_gateway()
    with ExitStack() as watching:
        watcher = watching.enter_context(gateway.watchers.admitted(owner()))
        with translated():
            first = frame("overview", gateway.overviews.whole(scope(owner())))
        watching.callback(watch(watcher.end))
        step_aside(request.environ)
        response = as_it_comes(_frames(first, watcher))
        response.call_on_close(watching.pop_all().close)
    return response


def _frames(first: bytes, watcher: Watcher) -> Iterator[bytes]:
    yield first
    yield from watcher.frames()
