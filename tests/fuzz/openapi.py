"""What the API takes, as OpenAPI: made from the schemas that read it, so that both say the same."""

from __future__ import annotations

from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin

from gateway.schemas import FORMATS
from gateway.schemas.objects import Member
from gateway.schemas.prompt import PromptSchema
from shared.version import VERSION

BODIES = {
    "/v1/chat/completions": "openai.chat",
    "/v1/completions": "openai.completion",
    "/v1/infill": "llama.cpp.infill",
    "/v1/messages": "anthropic.messages",
    "/v1/messages/count_tokens": "anthropic.count_tokens",
    "/v1/tokenize": "vllm.tokenize llama.cpp.tokenize vllm.tokenize_chat",
    "/v1/detokenize": "detokenize",
    "/v1/apply-template": "llama.cpp.apply_template",
    "/v1/chat/completions/input_tokens": "llama.cpp.input_tokens",
    "/v1/responses": "openai.responses",
    "/v1/responses/input_tokens": "openai.input_tokens",
    "/v1/responses/compact": "openai.compact",
    "/v1/embeddings": "openai.embedding",
    "/v1/rerank": "cohere.rerank tei.rerank_texts",
}
"""The formats of what is posted, by path."""
ALIKE = (
    "/v1/messages/count_tokens",
    "/v1/apply-template",
    "/v1/chat/completions/input_tokens",
    "/v1/responses/input_tokens",
    "/v1/responses/compact",
)
"""Paths that take what another does: to draw from a large description takes seconds."""
QUERIES = {"/api/chat": PromptSchema, "/v1/tokenizer_info": FORMATS["vllm.tokenizer_info"].schema}
"""What is asked for in a query, by path."""


def describe() -> dict[str, Any]:
    """The document. Every `null` that means "not given" is allowed, and no key that is not named, but in messages."""
    plugin = MarshmallowPlugin()
    spec = APISpec("inferq", VERSION, "3.1.0", plugins=[plugin])
    assert plugin.converter
    plugin.converter.add_attribute_function(_declared)  # type: ignore[no-untyped-call]  # it has no annotations
    answers = {"default": {"description": "an answer, or an error"}}
    for path, names in BODIES.items():
        schemas = [FORMATS[name].schema for name in names.split()]
        content = {"application/json": {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}}
        spec.path(
            path, operations={"post": {"requestBody": {"required": True, "content": content}, "responses": answers}}
        )
    for path, schema in QUERIES.items():
        query = [{"in": "query", "schema": schema}]
        spec.path(path, operations={"get": {"parameters": query, "responses": answers}})
    document: dict[str, Any] = spec.to_dict()
    for described in document["components"]["schemas"].values():
        required = described.get("required", ())
        described.setdefault("additionalProperties", False)
        described["properties"] = {
            name: one if name in required else {"anyOf": [one, {"type": "null"}]}
            for name, one in described["properties"].items()
        }
    return document


def _declared(converter: object, field: Any, ret: dict[str, Any]) -> dict[str, Any]:
    if isinstance(field, Member):
        del ret["$ref"]
    found: dict[str, Any] = getattr(field, "json_schema", {})
    return found
