"""The formats of /v1/rerank: how well each of several documents answers a query."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from marshmallow import fields

from gateway.schemas.cutting import CuttingSchema, cut
from gateway.schemas.format import Format
from gateway.schemas.objects import Object
from gateway.schemas.parameters import INT32_MAX, Array, Boolean, Ignored, Integer, Only, Prose, Text, text
from gateway.schemas.problem import refuse, wrong_type
from gateway.schemas.sampling import ServiceTier
from gateway.schemas.whole import WholeFormat
from shared.config import Config
from shared.protocol import Accepted, Options, Pooled, Reranking, Told, Usage
from shared.ticket import Tier

MOST_DOCUMENTS = 2048
"""Documents of one request to rank them."""


class Document(fields.Field[str]):
    """A text, also as an object that has it as `text`: what else stands there is the client's own."""

    json_schema: ClassVar = {
        "anyOf": [
            {"type": "string"},
            {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
        ]
    }

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        if isinstance(value, str):
            return text(value)
        if not isinstance(value, dict):
            raise wrong_type("a string, or an object with a text", value)
        if "text" not in value:
            raise refuse("missing_required_parameter", name="text")
        return text(value["text"], name="text")


class RankingSchema(CuttingSchema):
    """What all who rank documents say alike."""

    model = Text(empty=False, load_default="")
    query = Prose(empty=False, required=True)
    service_tier = ServiceTier(load_default=Tier.DEFAULT.value)
    raw_scores = Boolean(load_default=False)
    user = Ignored(Text())
    stream = Only(False)


class RerankSchema(RankingSchema):
    """Cohere's, Jina's and vLLM's, which llama.cpp's server takes as well."""

    documents = Array(Document(), 1, MOST_DOCUMENTS, required=True)
    top_n = Integer(0, INT32_MAX, load_default=0)
    return_documents = Boolean(load_default=False)
    max_tokens_per_doc = Integer(1, INT32_MAX)
    metadata = Ignored(Object(strings=True))
    max_chunks_per_doc = Ignored(Integer(1, INT32_MAX))
    rank_fields = Only(["text"])
    priority = Only(0)


class TextsSchema(RankingSchema):
    """That of TEI, Hugging Face's server."""

    texts = Array(Document(), 1, MOST_DOCUMENTS, required=True)
    return_text = Boolean(load_default=False)


class RankingFormat(WholeFormat):
    """`Format` of what ranks documents."""

    def take(self, accepted: Accepted, event: Told) -> list[tuple[int, float]]:
        """The places of documents, each with its score."""
        assert isinstance(event, Pooled), "what `parse` asks for"
        scores = [float(np.frombuffer(vector, "<f4")[0]) for vector in event.vectors]
        raw = accepted.options.asked.get("raw_scores")
        return list(enumerate(scores if raw else map(_likely, scores), event.first))


class RerankFormat(RankingFormat):
    """Of Cohere's, Jina's and vLLM's answer there is what each of their clients reads."""

    name = "cohere.rerank"
    id_prefix = "rerank-"
    schema = RerankSchema()

    def of(self, body: object) -> Format:
        return TEXTS if isinstance(body, dict) and "texts" in body else self

    def parse(self, body: object, seed: int, config: Config) -> tuple[Reranking, Options]:
        given = self.schema.read(body, config)
        documents, repeats = tuple(given["documents"]), given["return_documents"]
        task = Reranking(
            given["model"], given["query"], documents, given.get("max_tokens_per_doc", cut(given)), repeats
        )
        asked = {name: given[name] for name in ("top_n", "raw_scores")}
        return task, Options(tier=given["service_tier"], asked=asked)

    def conclude(self, job_id: str, accepted: Accepted, taken: Sequence[Any], usage: Usage) -> dict[str, Any]:
        results = []
        for place, score in _ranked(taken)[: accepted.options.asked.get("top_n") or None]:
            document = _document(accepted, place)
            told = {} if document is None else {"document": {"text": document}}
            results.append({"index": place, "relevance_score": score, **told})
        return {
            "id": job_id,
            "object": "list",
            "model": accepted.task.model,
            "results": results,
            "usage": {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens},
        }


class TextsFormat(RankingFormat):
    """TEI's."""

    name = "tei.rerank_texts"
    id_prefix = "trerank-"
    parameters: Mapping[str, str] = MappingProxyType({"documents": "texts"})
    schema = TextsSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Reranking, Options]:
        given = self.schema.read(body, config)
        task = Reranking(given["model"], given["query"], tuple(given["texts"]), cut(given), given["return_text"])
        return task, Options(tier=given["service_tier"], asked={"raw_scores": given["raw_scores"]})

    def conclude(self, job_id: str, accepted: Accepted, taken: Sequence[Any], usage: Usage) -> list[dict[str, Any]]:
        results = []
        for place, score in _ranked(taken):
            document = _document(accepted, place)
            told = {} if document is None else {"text": document}
            results.append({"index": place, "score": score, **told})
        return results


TEXTS = TextsFormat()


def _ranked(taken: Sequence[list[tuple[int, float]]]) -> list[tuple[int, float]]:
    """The best first, each once; of the same score in the order in which they were sent."""
    scores = {place: score for some in taken for place, score in some}
    return sorted(scores.items(), key=lambda each: (-each[1], each[0]))


def _document(accepted: Accepted, place: int) -> str | None:
    """What the answer repeats of a document."""
    task = accepted.task
    assert isinstance(task, Reranking), "what `parse` makes"
    return task.documents[place] if task.repeats else None


def _likely(logit: float) -> float:
    """Between 0 and 1, as Cohere, Jina and vLLM tell it."""
    return 1 / (1 + math.exp(-logit)) if logit > -500 else 0.0
