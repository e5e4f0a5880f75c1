"""What a request can be refused for: a short list of codes, after OpenAI's, and how each is worded.

Fields and schemas raise `refuse(code, detail)`. They do not know where in the request they stand; marshmallow does, and
`first` turns what it has gathered into one `InvalidRequest`, whose `param` is the path: `stop[1]`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal, get_args

from marshmallow import ValidationError, fields
from marshmallow.exceptions import SCHEMA

from shared.errors import InvalidRequest

Code = Literal[
    "invalid_json",
    "missing_required_parameter",
    "unknown_parameter",
    "unsupported_parameter",
    "unsupported_value",
    "invalid_type",
    "invalid_value",
    "empty_array",
    "array_above_max_length",
    "string_above_max_length",
    "integer_below_min_value",
    "integer_above_max_value",
    "decimal_below_min_value",
    "decimal_above_max_value",
    "previous_response_not_found",
]
CODES: tuple[str, ...] = get_args(Code)

_OPENINGS: dict[Code, str] = {
    "missing_required_parameter": "Missing required parameter",
    "unknown_parameter": "Unknown parameter",
    "unsupported_parameter": "Unsupported parameter",
    "unsupported_value": "Unsupported value for",
    "invalid_type": "Invalid type for",
}
_KINDS: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason, without the place."""

    code: Code
    detail: str = ""


_MARSHMALLOW = {
    fields.Field.default_error_messages["required"]: Problem("missing_required_parameter"),
    fields.Field.default_error_messages["null"]: Problem("invalid_type", "null is not allowed here"),
}
"""All that marshmallow itself has to say about our fields; nulls come to it only inside arrays."""


def refuse(code: Code, detail: str = "", *, name: str | None = None) -> ValidationError:
    """The error for a field or schema to raise; `name` is the member of the value that is at fault."""
    problems = [Problem(code, detail)]
    return ValidationError(problems if name is None else {name: problems})


def wrong_type(expected: str, value: object, *, name: str | None = None) -> ValidationError:
    """`expected` is in words, with its article: "an integer"."""
    return refuse("invalid_type", f"expected {expected}, but got {_KINDS[type(value)]} instead", name=name)


def show(value: str | float) -> str:
    """A value of the request as it may stand in a message: JSON, ASCII, short."""
    text = json.dumps(value[:64] if isinstance(value, str) else value)
    return text if len(text) <= 64 else text[:63] + "…"


def show_key(key: str) -> str:
    """A key of the request as it may stand in `param`: encodable and short."""
    return key[:64].encode("utf-8", "backslashreplace").decode()


def first(error: ValidationError) -> InvalidRequest:
    """The first of marshmallow's errors, in the order of the declared fields, with its path."""
    path: str | None = None  # a key may be the empty string
    found = error.messages
    while isinstance(found, dict):
        key, found = next(iter(found.items()))
        if isinstance(key, int):
            path = f"{path or ''}[{key}]"
        elif key is not SCHEMA:  # `is`: a client may have called a key the same
            path = key if path is None else f"{path}.{key}"
    problem = found[0] if isinstance(found[0], Problem) else _MARSHMALLOW[found[0]]
    opening = _OPENINGS.get(problem.code, "Invalid")
    message = "Invalid request body" if path is None else f"{opening} '{path}'"
    if problem.detail:
        message += f": {problem.detail}"
    return InvalidRequest(message + ".", param=path, code=problem.code)
