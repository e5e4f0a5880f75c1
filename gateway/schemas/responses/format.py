"""The format of /v1/responses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gateway.schemas.format import Frames
from gateway.schemas.openai import render_failure
from gateway.schemas.responses import answer
from gateway.schemas.responses.references import Referring
from gateway.schemas.responses.request import ResponsesSchema, read_response
from gateway.schemas.responses.stream import ResponseStream
from shared.config import Config
from shared.errors import InferqError
from shared.protocol import Accepted, Chat, Event, Options


class ResponsesFormat(Referring):
    """`Format` of OpenAI's Responses."""

    name = "openai.responses"
    id_prefix = "resp_"
    parameters = answer.PARAMETERS
    gathers = greets = True
    schema = ResponsesSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Chat, Options]:
        return read_response(body, seed, config, self.referred)

    def render(self, job_id: str, accepted: Accepted, events: Iterable[Event]) -> dict[str, Any]:
        return answer.render(job_id, accepted, events)

    def render_frames(self, job_id: str, accepted: Accepted, options: Options) -> Frames:
        return ResponseStream(job_id, accepted).frames

    def render_failure(self, error: InferqError, status: int) -> dict[str, Any]:
        return render_failure(error, status)
