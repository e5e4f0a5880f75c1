"""The format of /v1/embeddings."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from types import MappingProxyType
from typing import Any

import numpy as np

from gateway.schemas.completion import Prompts
from gateway.schemas.objects import Strict
from gateway.schemas.parameters import Ignored, Integer, Text, Word
from gateway.schemas.whole import WholeFormat
from shared.config import Config
from shared.protocol import Accepted, Done, Embedding, Event, Options, Pooled

MOST_DIMENSIONS = 65_536
"""Numbers of a vector that may be asked for."""


class EmbeddingSchema(Strict):
    model = Text(empty=False, load_default="")
    input = Prompts(required=True)
    dimensions = Integer(1, MOST_DIMENSIONS)
    encoding_format = Word("float", "base64", load_default="float")
    user = Ignored(Text())


class EmbeddingFormat(WholeFormat):
    """`Format` of embeddings."""

    name = "openai.embedding"
    id_prefix = "embd-"
    parameters = MappingProxyType({"inputs": "input"})
    schema = EmbeddingSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Embedding, Options]:
        given = self.schema.read(body, config)
        task = Embedding(given["model"], given["input"], given.get("dimensions"))
        return task, Options(asked={"encoding_format": given["encoding_format"]})

    def render(self, job_id: str, accepted: Accepted, events: Iterable[Event]) -> dict[str, Any]:
        vectors, tokens = dict[int, bytes](), 0
        for event in events:
            match event:
                case Pooled():
                    vectors.update(enumerate(event.vectors, event.first))
                case Done():
                    tokens = event.usage.prompt_tokens
        write = _base64 if accepted.options.asked.get("encoding_format") == "base64" else _floats
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": write(vectors[index])} for index in sorted(vectors)
            ],
            "model": accepted.task.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }


def _base64(vector: bytes) -> str:
    return base64.b64encode(vector).decode()


def _floats(vector: bytes) -> list[float]:
    return [float(each) for each in np.frombuffer(vector, "<f4")]
