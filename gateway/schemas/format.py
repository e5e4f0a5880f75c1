"""What a format is: the way in and the ways out of one endpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from gateway.schemas.objects import Strict
from shared.config import Config
from shared.errors import InferqError
from shared.protocol import Accepted, Delta, Event, Options, State, Task


class Frame(NamedTuple):
    """A part of a stream that is sent as one."""

    data: bytes
    """JSON, or what else the format says; in one line."""
    name: str = ""
    """Of the server-sent event; empty where the format names none."""
    counts: bool = True
    """It has an id where frames have ids. Only those at the end that close the stream need none."""


Frames = Callable[[Event], Iterable[Frame]]
"""Makes the frames of one event, also of the last one; it remembers what of the same stream came before."""


EVENTS, NDJSON = "text/event-stream", "application/x-ndjson"
"""How frames are sent: as server-sent events, or each on a line of its own."""
PAUSE = Delta()
"""A piece that says nothing. As frames it is what OpenAI's readers know: a chunk without text."""


class Format(Protocol):
    """A request in; a whole answer, or frames, out, both made from the same events. Nothing else knows its words."""

    name: str
    """By which a job says how it is answered."""
    id_prefix: str
    """What the ids of this format's jobs and answers begin with; no other's do."""
    parameters: Mapping[str, str] = MappingProxyType({})
    """What a request calls those of its task's fields that it calls otherwise: an engine's errors name the field."""
    gathers: bool = False
    """A stream ends with the whole answer, which it holds until then."""
    greets: bool = False
    """A stream says that it has begun before anything has come: `PAUSE` makes its first frames, as any event."""

    awaits_model: bool = False
    """What its clients wait for is the model: `Progress` is, before its job begins, how many of its bytes are here."""
    stream_media: str = EVENTS
    """Content type of a stream."""
    usual_sampling: Mapping[str, float] = MappingProxyType({})
    """How tokens are chosen where neither the request nor the model says it, and not as OpenAI does."""

    @property
    def schema(self) -> Strict:
        """Of a request; `docs/api.md` names all that it takes. It tells what of that is `ignored`."""

    def of(self, body: object) -> Format:
        """The one in which such a body is to be read and answered: an endpoint may speak in several ways."""
        return self

    def parse(self, body: object, seed: int, config: Config) -> tuple[Task, Options]:
        """The validated request, within the operator's caps; `seed` is taken where it gives none.

        Raises InvalidRequest, naming the parameter.
        """

    def render(self, job_id: str, accepted: Accepted, events: Iterable[Event]) -> Any:
        """The whole answer, an object or an array: a fold over the events, which end with `Done`."""

    def render_frames(self, job_id: str, accepted: Accepted, options: Options) -> Frames:
        """The frames of one stream: call what is returned with each of the events, in their order, and with `PAUSE` at
        any time.

        Every job can be followed: what cannot be answered in pieces is one frame at its end.
        """

    def facts(self, job_id: str, accepted: Accepted, state: State, events: Sequence[Event]) -> dict[str, Any]:
        """What lists tell of an answer that is stored, and filter by: little JSON."""
        metadata = accepted.options.asked.get("metadata") or {}
        return {"model": accepted.task.model, "created": accepted.created, "status": str(state), "metadata": metadata}

    def render_failure(self, error: InferqError, status: int) -> dict[str, Any]:
        """The body of the answer to a request that failed, which has this HTTP status."""
