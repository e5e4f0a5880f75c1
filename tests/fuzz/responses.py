"""What the description of requests for responses cannot say."""

from __future__ import annotations

from typing import Any

BEYOND: set[tuple[str | None, str]] = {
    ("input", "missing_required_parameter"),  # not none, but after others
    ("input", "context_length_exceeded"),
    ("instructions", "context_length_exceeded"),
    ("input[].call_id", "invalid_value"),  # not of no call
    ("input[].id", "not_stored"),
    ("previous_response_id", "previous_response_not_found"),
    ("conversation", "not_stored"),
    *((name, code) for name in ("conversation", "background") for code in ("invalid_value", "unsupported_value")),
    *((name, "unsupported_value") for name in ("include", "top_logprobs")),  # not in streams with tools
    *((f"text.format{name}", "invalid_value") for name in ("", ".schema")),  # one that can be kept
    ("text.format.schema", "missing_required_parameter"),  # only with its type
    ("reasoning.generate_summary", "invalid_value"),
}
ENDS = ("event: response.completed\n", "event: response.incomplete\n")
"""How the last events of streams begin that end well."""


def connect(body: dict[str, Any]) -> None:
    """Have it ask for something, and go on with nothing that is not there."""
    for name in ("previous_response_id", "conversation"):
        body.pop(name, None)
    if body.get("input") in (None, "", []):
        body["input"] = "a"
