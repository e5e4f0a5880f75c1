"""Formats of answers that are whole only at their end."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.schemas.format import Format, Frame, Frames
from gateway.schemas.openai import END, encode, render_failure
from gateway.schemas.outcomes import failure, outcome
from shared.errors import InferqError
from shared.protocol import Accepted, Done, Event, Failed, Options, Told


class WholeFormat(Format):
    """One whose stream is one frame, with the whole answer."""

    gathers = True

    def render_frames(self, job_id: str, accepted: Accepted, options: Options) -> Frames:
        found: list[Event] = []

        def frames(event: Event) -> Iterator[Frame]:
            match event:
                case Told():
                    found.append(event)
                case Done():
                    yield Frame(encode(self.render(job_id, accepted, [*found, event])))
                    yield END
                case Failed():
                    error = failure(event, self.parameters)
                    yield Frame(encode(self.render_failure(error, outcome(error.code).status)))

        return frames

    def render_failure(self, error: InferqError, status: int) -> dict[str, object]:
        return render_failure(error, status)
