"""The format of /api/pull, Ollama's: a model is there once a worker has it loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from gateway.schemas.format import NDJSON, PAUSE, Format, Frame, Frames
from gateway.schemas.ollama.failure import render_failure
from gateway.schemas.ollama.model import PullSchema
from gateway.schemas.openai import encode
from gateway.schemas.outcomes import failure, outcome
from shared.config import Config
from shared.errors import InferqError
from shared.protocol import Accepted, Done, Encoding, Event, Failed, Options, Progress

_GOES_ON, _DONE = {"status": "pulling manifest"}, {"status": "success"}
_SHOWN = 12
"""Letters of a digest that stand in a status. It is no file's, as everywhere here: it tells models apart."""


class PullFormat(Format):
    """`Format` of what is asked of a model that has to be there, and of nothing else."""

    name = "ollama.pull"
    id_prefix = "opull-"
    schema = PullSchema(exclude=("verbose",))
    stream_media = NDJSON
    greets = True
    awaits_model = True

    def parse(self, body: object, seed: int, config: Config) -> tuple[Encoding, Options]:
        given = self.schema.read(body, config)
        return Encoding(given["model"], ""), Options(given["stream"])

    def render(self, job_id: str, accepted: Accepted, events: Iterable[Event]) -> dict[str, Any]:
        for _ in events:
            pass
        return _DONE

    def render_frames(self, job_id: str, accepted: Accepted, options: Options) -> Frames:
        digest = hashlib.sha256(accepted.task.model.encode()).hexdigest()
        arrived = Progress(0, 0)

        def tell() -> Frame:
            of = {"digest": f"sha256:{digest}", "total": arrived.total, "completed": arrived.done}
            return Frame(encode({"status": f"pulling {digest[:_SHOWN]}", **of}))

        def frames(event: Event) -> Iterator[Frame]:
            nonlocal arrived
            match event:
                case Progress():
                    arrived = event
                    yield tell()
                case Failed():
                    error = failure(event, self.parameters)
                    yield Frame(encode(render_failure(error, outcome(error.code).status)))
                case Done():
                    if arrived.total > arrived.done:
                        arrived = Progress(arrived.total, arrived.total)
                        yield tell()
                    yield Frame(encode(_DONE))
                case _ if event is PAUSE:
                    yield Frame(encode(_GOES_ON))

        return frames

    def render_failure(self, error: InferqError, status: int) -> dict[str, Any]:
        return render_failure(error, status)
