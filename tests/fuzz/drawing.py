"""Requests are drawn from a gateway's own description, as it tells it."""

from __future__ import annotations

import sys
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from tests.descriptions import Schema

Operation = schemathesis.APIOperation[Any, Any, Any, Any]
Case = schemathesis.Case[Any]

BATCH = 20
"""Requests that are drawn from one seed."""
ALIKE = (
    "/v1/messages/count_tokens",
    "/v1/apply-template",
    "/v1/chat/completions/input_tokens",
    "/v1/responses/input_tokens",
    "/v1/responses/compact",
    "/v1/reranking",
)
"""Paths that take what another does: to draw from a large description takes seconds."""


def operations(document: Schema) -> list[Operation]:
    """All but that of a WebSocket. What has something computed is drawn without headers: those belong to how, not to
    what is asked."""
    paths: Schema = {}
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            if "101" not in said["responses"]:
                given = [each for each in said.get("parameters", ()) if each["in"] != "header" or not computes(said)]
                paths.setdefault(path, {})[method] = {**said, "parameters": given}
    schema = schemathesis.openapi.from_dict({**document, "paths": paths})
    schema.config.max_stream_events = sys.maxsize  # it would read the beginning of a stream only
    return [each.ok() for each in schema.get_all_operations() if isinstance(each, Ok)]


def computes(said: Schema) -> bool:
    """Whether what is said of an operation tells of a job."""
    return "202" in said["responses"]


def draw(operation: Operation, mode: GenerationMode, number: int, size: int) -> list[Case] | None:
    """A batch, the same for the same number. None of what takes nothing that could be spoiled."""
    cases: list[Case] = []
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
