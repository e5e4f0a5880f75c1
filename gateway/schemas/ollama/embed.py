"""The formats of /api/embed and /api/embeddings, Ollama's way to ask for vectors."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from marshmallow import fields

from gateway.schemas.embeddings import MOST_DIMENSIONS, MOST_INPUTS
from gateway.schemas.objects import Member
from gateway.schemas.ollama.duration import KeepAlive
from gateway.schemas.ollama.failure import render_failure
from gateway.schemas.ollama.open import Open
from gateway.schemas.ollama.options import OptionsSchema
from gateway.schemas.ollama.texts import load
from gateway.schemas.ollama.words import NAME
from gateway.schemas.parameters import Array, Boolean, Integer, Prose, Text
from gateway.schemas.problem import wrong_type
from gateway.schemas.vectors import write_floats
from gateway.schemas.whole import WholeFormat
from shared.config import Config
from shared.errors import InferqError
from shared.protocol import Accepted, Embedding, Options, Pooled, Task, Told, Usage


class Texts(fields.Field[list[Any]]):
    """A text, or several; an empty one is none."""

    _several = Array(Prose(empty=False), 0, MOST_INPUTS)

    @property
    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, self._several.json_schema]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, str):
            return self._several._deserialize([value] if value else [])
        if not isinstance(value, list):
            raise wrong_type("a string or an array of strings", value)
        return self._several._deserialize(value)


class EmbedSchema(Open):
    model = Text(empty=False, required=True)
    input = Texts(load_default=list)
    truncate = Boolean(load_default=True)
    dimensions = Integer(0, MOST_DIMENSIONS, load_default=0)
    options = Member(OptionsSchema)
    keep_alive = KeepAlive()


class EmbeddingsSchema(Open):
    model = Text(empty=False, required=True)
    prompt = Prose(load_default="")
    options = Member(OptionsSchema)
    keep_alive = KeepAlive()


class VectorFormat(WholeFormat):
    """What the two have in common."""

    def take(self, accepted: Accepted, event: Told) -> dict[int, Any]:
        """The vectors by their places; none of what has only had the model loaded."""
        return dict(enumerate(write_floats(event), event.first)) if isinstance(event, Pooled) else {}

    def render_failure(self, error: InferqError, status: int) -> dict[str, Any]:
        return render_failure(error, status)


class EmbedFormat(VectorFormat):
    """`Format` of /api/embed."""

    name = "ollama.embed"
    id_prefix = "oembed-"
    parameters = MappingProxyType({"inputs": "input"})
    schema = EmbedSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Task, Options]:
        given = self.schema.read(body, config)
        if not given["input"]:
            return load(given)
        cut = 0 if given["truncate"] else None
        task = Embedding(given["model"], tuple(given["input"]), given["dimensions"] or None, cut)
        return task, Options(asked={NAME: given["model"]}, stay=given.get("keep_alive"))

    def conclude(self, job_id: str, accepted: Accepted, taken: Sequence[Any], usage: Usage) -> dict[str, Any]:
        vectors = _in_order(taken)
        counted = {"prompt_eval_count": usage.prompt_tokens} if vectors else {}
        return {"model": accepted.options.asked[NAME], "embeddings": vectors, **counted}


class EmbeddingsFormat(VectorFormat):
    """`Format` of /api/embeddings, as Ollama had it before."""

    name = "ollama.embeddings"
    id_prefix = "oembds-"
    parameters = MappingProxyType({"inputs": "prompt"})
    schema = EmbeddingsSchema()

    def parse(self, body: object, seed: int, config: Config) -> tuple[Task, Options]:
        given = self.schema.read(body, config)
        if not given["prompt"]:
            return load(given)
        return Embedding(given["model"], (given["prompt"],), cut=0), Options(stay=given.get("keep_alive"))

    def conclude(self, job_id: str, accepted: Accepted, taken: Sequence[Any], usage: Usage) -> dict[str, Any]:
        return {"embedding": next(iter(_in_order(taken)), [])}


def _in_order(taken: Sequence[dict[int, Any]]) -> list[Any]:
    vectors = {place: vector for some in taken for place, vector in some.items()}
    return [vectors[place] for place in sorted(vectors)]
