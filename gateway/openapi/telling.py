"""One operation in OpenAPI's words."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from copy import deepcopy
from http import HTTPStatus
from typing import Any

from gateway.openapi.answers import ANSWERS, Answered
from gateway.openapi.answers.shapes import either, ref
from gateway.openapi.operation import Operation
from gateway.openapi.parameters import ANTHROPIC_VERSION, GENERATION, RANGE
from gateway.paths import is_ollamas
from gateway.schemas.format import EVENTS, NDJSON
from gateway.schemas.parameters import Boolean

_JSON = "application/json"
_ANYTHING = Answered({})


def tell(said: Operation, method: str, path: str, view: Callable[..., Any]) -> dict[str, Any]:
    """What `APISpec.path` takes; its schemas may be marshmallow's."""
    summary, _, rest = (inspect.getdoc(view) or "").partition("\n")
    named: dict[str, Any] = {"operationId": said.id, "summary": summary.removesuffix(".")}
    if rest.strip():
        named["description"] = rest.strip()
    in_path = (_path(name) for name in re.findall(r"\{(\w+)\}", path))
    if parameters := [*in_path, *said.parameters, *(GENERATION if said.formats else ())]:
        named["parameters"] = deepcopy(parameters)  # apispec changes them
    if body := _body(said):
        named["requestBody"] = body
    return {**named, "responses": _responses(said, method, path)}


def camel(identity: str) -> str:
    """The name of a type, of that of an operation."""
    return identity[0].upper() + identity[1:]


def _path(name: str) -> dict[str, Any]:
    return {"in": "path", "name": name, "required": True, "schema": {"type": "string", "minLength": 1}}


def _body(said: Operation) -> dict[str, Any] | None:
    example = {"example": said.example} if said.example else {}
    if said.form:
        return {"required": True, "content": {"multipart/form-data": {"schema": said.form, **example}}}
    schemas = [schema for schema, _ in said.bodies]
    if not schemas:
        return None
    required = all(schema.described["required"] or schema.named for schema in schemas)
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"required": required, "content": {_JSON: {"schema": schema, **example}}}


def _error(said: Operation, method: str, path: str) -> str:
    """In whose words an operation's errors are."""
    if any(wire.name.startswith("anthropic.") for wire in said.formats):
        return "AnthropicError"
    return "OllamaError" if is_ollamas(method, path) else "Error"


def _responses(said: Operation, method: str, path: str) -> dict[str, Any]:
    answer = ANSWERS.get((method, path), _ANYTHING)
    content: dict[str, Any] = {media: {"schema": {"type": "string"}} for media in said.media}
    if _JSON in content:
        content[_JSON] = {"schema": answer.body}
    streamed = {wire.stream_media for wire in said.formats if isinstance(wire.schema.fields.get("stream"), Boolean)}
    for media in sorted(streamed | ({*content} & {EVENTS, NDJSON})):
        content[media] = {"schema": answer.event or {"type": "string"}}
    responses: dict[str, Any] = {str(said.status): {"description": "It went well.", "content": content}}
    if not content:
        del responses[str(said.status)]["content"]
    if RANGE in said.parameters:
        responses["206"] = {"description": "A part of it.", "content": content}
    for status, schema in answer.beside.items():
        told = {"content": {_JSON: {"schema": schema}}} if schema else {}
        responses[str(status)] = {"description": HTTPStatus(status).phrase, **told}
    if said.formats:
        job = ANSWERS.get(("GET", "/v1/jobs/{job_id}"), _ANYTHING).body
        responses["202"] = {
            "description": "With `Prefer: respond-async`: the job.",
            "content": {_JSON: {"schema": job}},
        }
    words = {_error(said, method, path)}
    if ANTHROPIC_VERSION in said.parameters:
        words.add("AnthropicError")
    errors = [ref(name) for name in sorted(words)]
    error = either(*errors) if len(errors) > 1 else errors[0]
    responses["default"] = {"description": "An error.", "content": {_JSON: {"schema": error}}}
    return responses
