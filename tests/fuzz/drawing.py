"""Requests are drawn from a gateway's own description, as it tells it."""

from __future__ import annotations

import sys
from typing import Any

import jsonschema_rs
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.result import Ok

from tests.descriptions import Schema

Operation = schemathesis.APIOperation[Any, Any, Any, Any]
Case = schemathesis.Case[Any]

BATCH = 20
"""Requests that are drawn from one seed."""
JSON = "application/json"
ITEMS = 2
"""In an array, where fewer are not asked for: what lists within lists within lists show, these do, in a tenth of the
time. What a list of too many is told, tests of its endpoint show."""
ALIKE = (
    "/v1/messages/count_tokens",
    "/v1/apply-template",
    "/v1/chat/completions/input_tokens",
    "/v1/responses/input_tokens",
    "/v1/responses/compact",
    "/v1/reranking",
    "/api/embeddings",
)
"""Paths that take what another does: to draw from a large description takes its time."""
UNDRAWN = ("/v1/overview/events", "/ui/{edition}/{name}")
"""A stream that takes nothing and has no end, and files whose names nobody would draw."""


def operations(document: Schema) -> list[Operation]:
    """All but that of a WebSocket and those of `UNDRAWN`. What has something computed is drawn without headers: those
    belong to how, not to what is asked."""
    paths: Schema = {}
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            if "101" not in said["responses"] and path not in UNDRAWN:
                given = [each for each in said.get("parameters", ()) if each["in"] != "header" or not computes(said)]
                small = {"requestBody": _small(said["requestBody"])} if "requestBody" in said else {}
                paths.setdefault(path, {})[method] = {**said, **small, "parameters": given}
    schema = schemathesis.openapi.from_dict({**document, "paths": paths, "components": _small(document["components"])})
    schema.config.max_stream_events = sys.maxsize  # it would read the beginning of a stream only
    return [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]


def _small(part: Any) -> Any:
    """Of a description, what is quickly drawn from: without words, and with a few items in each array."""
    if isinstance(part, list):
        return [_small(each) for each in part]
    if not isinstance(part, dict):
        return part
    small = {key: _small(each) for key, each in part.items() if not (key == "description" and isinstance(each, str))}
    if "array" in (kind := small.get("type", ())) and isinstance(kind, str | list):
        small["maxItems"] = min(small.get("maxItems", ITEMS), max(small.get("minItems", 0), ITEMS))
    return small


class Bodies:
    """What a description allows as bodies, to the full."""

    def __init__(self, document: Schema) -> None:
        self._document = document
        self._validators = dict[tuple[str, str], jsonschema_rs.Validator]()

    def allow(self, case: Case) -> bool:
        """Whether only the body of a request was spoiled, as JSON, and by nothing but an item more than `ITEMS`."""
        parts = case.meta.components if case.meta else {}
        spoiled = [part for part, said in parts.items() if said.mode is GenerationMode.NEGATIVE]
        if spoiled != [ParameterLocation.BODY] or case.media_type != JSON or isinstance(case.body, bytes):
            return False
        place = case.path, case.method.lower()
        if place not in self._validators:
            schema = self._document["paths"][case.path][place[1]]["requestBody"]["content"][JSON]["schema"]
            whole = {**schema, "components": self._document["components"]}
            self._validators[place] = jsonschema_rs.validator_for(whole, validate_formats=True)
        return self._validators[place].is_valid(case.body)


def computes(said: Schema) -> bool:
    """Whether what is said of an operation tells of a job."""
    return "202" in said["responses"]


def draw(operation: Operation, mode: GenerationMode, number: int, size: int) -> list[Case] | None:
    """A batch, the same for the same number. None of what takes nothing that could be spoiled."""
    cases: list[Case] = []
    if mode is GenerationMode.NEGATIVE and not (operation.body.items or operation.query.items):
        return None
    once = settings(database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))

    @seed(number)
    @settings(once, max_examples=size)
    @given(operation.as_strategy(generation_mode=mode))
    def collect(case: Case) -> None:
        cases.append(case)

    try:
        collect()
    except Unsatisfiable:
        return None
    return cases
