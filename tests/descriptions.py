"""What descriptions of APIs say of answers, and what is wrong with an answer by them: OpenAI's published one, and ours.

OpenAI's is `tests/fixtures/openai_spec`, as far as inferq has what it describes.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx2 as httpx
import jsonschema_rs

from gateway.schemas.format import NDJSON
from tests.calls import data

Schema = dict[str, Any]
_PUBLISHED = Path(__file__).parent / "fixtures" / "openai_spec" / "openapi.json"
_EVENTS = "text/event-stream"
_NOT_SAID: Mapping[str, str] = MappingProxyType(
    {
        "/v1/completions": "CreateCompletionResponse",  # its chunks are whole answers
        "/v1/responses/{response_id}": "ResponseStreamEvent",  # a stored one, as a stream
    }
)
"""What comes in streams, where OpenAI's says of an endpoint only what comes whole; by path."""
_CONTRADICTED = (
    r"(response\.)?(user|safety_identifier|prompt_cache_key): null .*",  # so in Open Responses
    r"(response\.)?text\.format\.description: null .*",  # so too
    r"(response\.)?usage: null .*",  # not yet: so in its own examples, and in Open Responses
    r"choices\.\d+\.finish_reason: null .*",  # of chunks of completions it says nothing
    r"choices\.\d+\.delta\.tool_calls\.\d+\.type: \"custom\" .*",  # nor of these
    r"data\.\d+\.embedding: \".*",  # `base64` is described of the request alone
    r"(data\.\d+\.)?((in_progress|finalizing|completed|failed|expired|cancelling|cancelled)_at|model|errors): null .*",
    r"(data\.\d+\.)?(output|error)_file_id: null .*",  # of a batch, not yet: so in its own examples
    r"data\.\d+(\.role: \"user\" .*|: \"refusal\" .*)",  # of stored messages: so in its own examples
)
"""Where OpenAI itself answers otherwise than its description says, or what came later does."""


class Description:
    """An OpenAPI document, of whose answers these may be otherwise. `closed`: nothing is told that it does not name."""

    def __init__(self, document: Schema, base: str = "", beyond: tuple[str, ...] = (), *, closed: bool = False) -> None:
        document = _plain(document, closed)
        self._paths: Schema = {base + path: said for path, said in document["paths"].items()}
        self._components: Schema = document["components"]
        self._beyond = re.compile("|".join(beyond) or "(?!)", re.DOTALL)
        self._validators = dict[str, jsonschema_rs.Validator]()

    def faults(self, answer: httpx.Response) -> list[str]:
        """What is not as described of an answer, whole or streamed: where it is, and what."""
        answer.read()
        sent, kind = answer.request, answer.headers["content-type"]
        return self.judge(sent.method, sent.url.path, answer.status_code, kind, answer.text)

    def judge(self, method: str, path: str, status: int, kind: str, text: str) -> list[str]:
        """The same, of the answer to an operation, whose path may be a template."""
        kind = kind.partition(";")[0]
        schema = self._schema(method, path, status, kind)
        if kind == _EVENTS:
            lines = [line for line in re.split(r"\r?\n", text) if not line.startswith(("event: ", "id: "))]
            values = [chunk for chunk in data(lines) if chunk != "[DONE]"]
        elif kind == NDJSON:
            values = [json.loads(line) for line in text.splitlines()]
        else:
            values = [json.loads(text) if kind == "application/json" else text]
        said = (f"{'.'.join(map(str, at))}: {problem}" for each in values for at, problem in self._told(schema, each))
        return [each for each in said if not self._beyond.fullmatch(each)]

    def _schema(self, method: str, path: str, status: int, kind: str) -> Schema:
        fitting = (each for each in self._paths if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each), path))
        found = path if path in self._paths else next(fitting)
        if kind == _EVENTS and found in _NOT_SAID and _NOT_SAID[found] in self._components["schemas"]:
            return _ref(_NOT_SAID[found])
        responses = self._paths[found][method.lower()]["responses"]
        if str(status) not in responses and "default" not in responses:
            return _ref("ErrorResponse")
        answered = responses.get(str(status), responses.get("default")).get("content", {})
        schema: Schema = answered[kind]["schema"] if kind in answered else {"const": f"nothing of the kind {kind}"}
        return schema

    def _told(self, schema: Schema, value: object) -> Iterator[tuple[list[str | int], str]]:
        key = str(schema)
        if key not in self._validators:
            self._validators[key] = jsonschema_rs.validator_for({**schema, "components": self._components})
        for error in self._validators[key].iter_errors(value):
            yield from _differences(error)


@functools.cache
def published() -> Description:
    """OpenAI's."""
    return Description(json.loads(_PUBLISHED.read_bytes()), "/v1", _CONTRADICTED)


def _differences(error: jsonschema_rs.ValidationError) -> list[tuple[list[str | int], str]]:
    """Of what is none of several, what is wrong with the one that it is most like."""
    if not isinstance(error.kind, jsonschema_rs.ValidationErrorKind.AnyOf):
        return [(list(error.instance_path), error.message)]
    kinds = [[one for each in errors for one in _differences(each)] for errors in error.kind.context]
    return min(kinds, key=lambda told: (any(at[-1:] == ["type"] for at, _ in told), len(told)))


def _plain(part: Any, closed: bool) -> Any:
    """As JSON Schema has it: `nullable` is an older word, and which one of several it is, is told by a field of it, for
    any other may allow the same."""
    if isinstance(part, list):
        return [_plain(each, closed) for each in part]
    if not isinstance(part, dict):
        return part
    plain = {"anyOf" if key == "oneOf" else key: _plain(value, closed) for key, value in part.items()}
    if closed and isinstance(plain.get("properties"), dict):
        plain.setdefault("additionalProperties", False)
    return {"anyOf": [plain, {"type": "null"}]} if plain.pop("nullable", False) is True else plain


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


class Watched:
    """A client, of whose answers each has to be as all these descriptions say."""

    def __init__(self, http: httpx.Client, *descriptions: Description) -> None:
        self.http = http
        self._descriptions = descriptions

    def __call__(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        answer = self.http.request(method, path, **more)
        assert answer.status_code == status, answer.text
        found = [description.faults(answer) for description in self._descriptions]
        assert not any(found), f"{method} {path}: {found} of {answer.text[:2000]}"
        return answer.json() if answer.headers["content-type"] == "application/json" else None
