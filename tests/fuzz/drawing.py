"""From which part of a gateway's own description requests are drawn."""

from __future__ import annotations

from typing import Any

from tests.stack import Stack

ALIKE = (
    "/v1/messages/count_tokens",
    "/v1/apply-template",
    "/v1/chat/completions/input_tokens",
    "/v1/responses/input_tokens",
    "/v1/responses/compact",
)
"""Paths that take what another does: to draw from a large description takes seconds."""
_QUERIES = ("chatInPlainText", "getTokenizerInfo")


def computed(stack: Stack) -> dict[str, Any]:
    """The description of what has something computed, without headers: those belong to how, not to what is asked."""
    document: dict[str, Any] = stack.http().get("/openapi.json").json()
    paths: dict[str, Any] = {}
    for path, operations in document["paths"].items():
        for method, said in operations.items():
            if "202" in said["responses"] or said["operationId"] in _QUERIES:
                given = [parameter for parameter in said.get("parameters", ()) if parameter["in"] != "header"]
                paths.setdefault(path, {})[method] = {**said, "parameters": given}
    return {**document, "paths": paths}
