"""Formats of answers that are whole only at their end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from gateway.schemas.format import Format, Frame, Frames
from gateway.schemas.openai import END, encode, render_failure
from gateway.schemas.outcomes import failure, outcome
from shared.errors import InferqError
from shared.protocol import Accepted, Done, Event, Failed, Options, Told, Usage


class WholeFormat(Format):
    """One whose stream is one frame, with the whole answer."""

    gathers = True

    def take(self, accepted: Accepted, event: Told) -> Any:
        """What the answer is made of, of one event: as it comes, so that nothing takes long at the end."""
        return event

    def conclude(self, job_id: str, accepted: Accepted, taken: Sequence[Any], usage: Usage) -> Any:
        """The answer, of all that was taken."""

    def render(self, job_id: str, accepted: Accepted, events: Iterable[Event]) -> Any:
        taken, usage = [], Usage(0, 0)
        for event in events:
            match event:
                case Told():
                    taken.append(self.take(accepted, event))
                case Done():
                    usage = event.usage
        return self.conclude(job_id, accepted, taken, usage)

    def render_frames(self, job_id: str, accepted: Accepted, options: Options) -> Frames:
        taken: list[Any] = []

        def frames(event: Event) -> Iterator[Frame]:
            match event:
                case Told():
                    taken.append(self.take(accepted, event))
                case Done():
                    yield Frame(encode(self.conclude(job_id, accepted, taken, event.usage)))
                    yield END
                case Failed():
                    error = failure(event, self.parameters)
                    yield Frame(encode(self.render_failure(error, outcome(error.code).status)))

        return frames

    def render_failure(self, error: InferqError, status: int) -> dict[str, Any]:
        return render_failure(error, status)
