"""The format of /api/pull, Ollama's: a model is there once a worker has it loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.schemas.format import NDJSON, PAUSE, Format, Frame, Frames
from gateway.schemas.ollama.failure import render_failure
from gateway.schemas.ollama.model import PullSchema
from gateway.schemas.openai import encode
from gateway.schemas.outcomes import failure, outcome
from shared.config import Config
from shared.errors import InferqError
from shared.protocol import Accepted, Done, Encoding, Event, Failed, Options

_GOES_ON, _DONE = {"status": "pulling manifest"}, {"status": "success"}


class PullFormat(Format):
    """`Format` of what is asked of a model that has to be there, and of nothing else."""

    name = "ollama.pull"
    id_prefix = "opull-"
    schema = PullSchema(exclude=("verbose",))
    stream_media = NDJSON
    greets = True

    def parse(self, body: object, seed: int, config: Config) -> tuple[Encoding, Options]:
        given = self.schema.read(body, config)
        return Encoding(given["model"], ""), Options(given["stream"])

    def render(self, job_id: str, accepted: Accepted, events: Iterable[Event]) -> dict[str, Any]:
        for _ in events:
            pass
        return _DONE

    def render_frames(self, job_id: str, accepted: Accepted, options: Options) -> Frames:
        def frames(event: Event) -> Iterable[Frame]:
            if event is PAUSE:
                return (Frame(encode(_GOES_ON)),)
            if isinstance(event, Failed):
                error = failure(event, self.parameters)
                return (Frame(encode(render_failure(error, outcome(error.code).status))),)
            return (Frame(encode(_DONE)),) if isinstance(event, Done) else ()

        return frames

    def render_failure(self, error: InferqError, status: int) -> dict[str, Any]:
        return render_failure(error, status)
