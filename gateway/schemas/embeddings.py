"""The format of /v1/embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from msgspec import Raw

from gateway.schemas.completion import Prompts
from gateway.schemas.cutting import CuttingSchema, cut
from gateway.schemas.objects import Object
from gateway.schemas.parameters import Ignored, Integer, Only, Text, Word
from gateway.schemas.sampling import ServiceTier
from gateway.schemas.vectors import write_base64, write_floats
from gateway.schemas.whole import WholeFormat
from shared.config import Config
from shared.protocol import Accepted, Embedding, Options, Pooled, Told, Usage
from shared.ticket import Tier

MOST_INPUTS = 2048
"""Texts of one request for embeddings, as at OpenAI."""
MOST_DIMENSIONS = 65_536
"""Numbers of a vector that may be asked for."""


class EmbeddingSchema(CuttingSchema):
    model = Text(empty=False, load_default="")
    input = Prompts(MOST_INPUTS, "inputs", empty=False, required=True)
    dimensions = Integer(1, MOST_DIMENSIONS)
    encoding_format = Word("float", "base64", load_default="float")
    service_tier = ServiceTier(load_default=Tier.DEFAULT.value)

    # Who asks, and what for: OpenAI's, Cohere's and Jina's. Models that read it differently want it in the text.
    user = Ignored(Text())
    metadata = Ignored(Object(strings=True))
    safety_identifier = Ignored(Text())
    input_type = Ignored(Text())
    task = Ignored(Text())

    # Not supported: at these values they ask for nothing.
    stream = Only(False)
    store = Only(False)
    priority = Only(0)
    add_special_tokens = Only(True)
    normalize = Only(True)
    normalized = Only(True)
    late_chunking = Only(False)
    embedding_type = Only("float")
    output_dtype = Only("float")


class EmbeddingFormat(WholeFormat):
    """`Format` of embeddings."""

    name = "openai.embedding"
    id_prefix = "embd-"
    parameters = MappingProxyType({"inputs": "input"})
    schema = EmbeddingSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Embedding, Options]:
        given = self.schema.read(body, config)
        task = Embedding(given["model"], given["input"], given.get("dimensions"), cut(given))
        return task, Options(tier=given["service_tier"], asked={"encoding_format": given["encoding_format"]})

    def take(self, accepted: Accepted, event: Told) -> dict[int, Raw]:
        """The vectors by their places."""
        assert isinstance(event, Pooled), "what `parse` asks for"
        write = write_base64 if accepted.options.asked.get("encoding_format") == "base64" else write_floats
        return dict(enumerate(write(event), event.first))

    def conclude(self, job_id: str, accepted: Accepted, taken: Sequence[Any], usage: Usage) -> dict[str, Any]:
        vectors = {place: vector for some in taken for place, vector in some.items()}
        return {
            "object": "list",
            "data": [{"object": "embedding", "index": place, "embedding": vectors[place]} for place in sorted(vectors)],
            "model": accepted.task.model,
            "usage": {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens},
        }
