"""The body of a request, before anybody asks what it means."""

from __future__ import annotations

import json
from typing import Any

from shared.errors import InvalidRequest


def load_json(raw: bytes) -> object:
    """Strict JSON in UTF-8, a byte order mark allowed. Raises InvalidRequest, saying where and what."""
    try:
        return json.loads(raw.decode("utf-8-sig"), parse_constant=_no_constant, parse_float=_float)
    except UnicodeDecodeError as exc:
        raise _invalid(f"it is not UTF-8 at byte {exc.start}") from exc
    except json.JSONDecodeError as exc:
        raise _invalid(f"{exc.msg} at line {exc.lineno}, column {exc.colno}") from exc
    except RecursionError as exc:
        raise _invalid("it is nested too deeply") from exc
    except ValueError as exc:  # Python's bound on the digits of an integer
        raise _invalid("a number has too many digits") from exc


def _invalid(reason: str) -> InvalidRequest:
    return InvalidRequest(f"The request body is not valid JSON: {reason}.", code="invalid_json")


def _no_constant(name: str) -> Any:
    raise _invalid(f"{name} is not a number of JSON's")


def _float(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise _invalid(f"the number {digits[:32]} is too large")
    return number
