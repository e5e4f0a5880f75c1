"""Parameters of queries and headers, in OpenAPI's words. Who reads them is elsewhere."""

from __future__ import annotations

from typing import Any

from gateway.attempts import MOST_PATIENCE
from gateway.schemas.anthropic.model import MOST_LISTED
from gateway.schemas.anthropic.model import USUAL_PAGE as ANTHROPICS_PAGE
from gateway.schemas.files import LISTED
from gateway.schemas.lists import USUAL_PAGE
from gateway.schemas.metadata import Metadata
from gateway.schemas.responses.include import INCLUDABLE

_TEXT = {"type": "string"}


def query(name: str, schema: dict[str, Any], description: str, **more: Any) -> dict[str, Any]:
    return {"in": "query", "name": name, "schema": schema, "description": description, **more}


def header(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"in": "header", "name": name, "schema": schema, "description": description}


def paging(usual: int = USUAL_PAGE, most: int = 100, order: str = "desc") -> list[dict[str, Any]]:
    """Those of `read_paging`."""
    limit = {"type": "integer", "minimum": 1, "maximum": most, "default": usual}
    return [
        query("limit", limit, "How many a page has at most."),
        query("after", _TEXT, "The `last_id` of the page before."),
        query("order", {"type": "string", "enum": ["asc", "desc"], "default": order}, "By when they were made."),
    ]


MODEL = query("model", {**_TEXT, "minLength": 1}, "The id or an alias of a model; else the first that was loaded.")
MODEL_FILTER = query("model", _TEXT, "Only those of this model.")
METADATA = query(
    "metadata",
    Metadata.json_schema["anyOf"][0],
    "Only those with these pairs, each as `metadata[key]=value`.",
    style="deepObject",
    explode=True,
)
PURPOSE = query("purpose", {"type": "string", "enum": list(LISTED)}, "Only files of this purpose.")
INCLUDE = query(
    "include[]",
    {"type": "array", "items": {"type": "string", "enum": list(INCLUDABLE)}},
    "What else is to be told; also as `include`.",
    explode=True,
)
_BOOLEAN = {"type": "boolean", "default": False}
RETRIEVAL = (
    query("stream", _BOOLEAN, "As the stream of its events."),
    query("starting_after", {"type": "integer", "minimum": 0}, "With `stream`: only events after this number."),
    query("include_obfuscation", _BOOLEAN, "Asks for nothing here: nothing is padded."),
    INCLUDE,
)
"""Those of `read_retrieval`."""

ANTHROPIC_VERSION = header("anthropic-version", _TEXT, "With it, the answer is in the words of Anthropic's.")
ANTHROPIC_PAGING = (
    ANTHROPIC_VERSION,
    query(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MOST_LISTED, "default": ANTHROPICS_PAGE},
        "In Anthropic's words: how many a page has at most.",
    ),
    query("after_id", _TEXT, "In Anthropic's words: the model after which the page begins."),
    query("before_id", _TEXT, "In Anthropic's words: the model before which the page ends; not with `after_id`."),
)
RANGE = header("Range", _TEXT, "Which bytes, as in `bytes=0-99`: the answer is then a 206.")
LAST_EVENT = header("Last-Event-ID", _TEXT, "The id of the last event that was read; what follows it is sent.")
PROGRESS = header(
    "x-inferq-progress",
    {"type": "string", "enum": ["0", "1"], "default": "0"},
    "`1`: comments in a stream tell at once how far the job is.",
)
COMING_AGAIN = header(
    "Idempotency-Key", _TEXT, "The same key with the same body makes one thing; with another body it is a 422."
)
GENERATION = (
    header(
        "Idempotency-Key",
        _TEXT,
        "The same key with the same body is the same job, for a day; with another body it is a 422.",
    ),
    header("Prefer", _TEXT, "`respond-async`: a 202 with the job, as soon as it is stored; its result comes later."),
    header(
        "x-request-timeout",
        {"type": "number", "exclusiveMinimum": 0, "maximum": MOST_PATIENCE},
        "Seconds that the job may wait in the queue.",
    ),
    PROGRESS,
)
"""Of whatever is computed."""
