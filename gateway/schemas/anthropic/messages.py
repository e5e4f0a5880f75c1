"""The format of /v1/messages, Anthropic's: another way to ask for a chat, and to tell its answer."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

from gateway.schemas.anthropic import answer
from gateway.schemas.anthropic.failure import render_failure
from gateway.schemas.anthropic.request import MessagesSchema, read_messages
from gateway.schemas.anthropic.stream import MessageStream
from gateway.schemas.format import Format, Frames
from shared.config import Config
from shared.errors import InferqError
from shared.protocol import Accepted, Chat, Event, Options


class MessagesFormat(Format):
    """`Format` of Anthropic's messages."""

    name = "anthropic.messages"
    id_prefix = "msg_"
    parameters = MappingProxyType({"stop": "stop_sequences"})
    schema = MessagesSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Chat, Options]:
        return read_messages(body, seed, config)

    def render(self, job_id: str, accepted: Accepted, events: Iterable[Event]) -> dict[str, Any]:
        return answer.render(job_id, accepted, events)

    def render_frames(self, job_id: str, accepted: Accepted, options: Options) -> Frames:
        return MessageStream(job_id, accepted, options, self.parameters).frames

    def render_failure(self, error: InferqError, status: int) -> dict[str, Any]:
        return render_failure(error, status)
