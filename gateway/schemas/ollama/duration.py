"""How long a model is to stay when nobody asks for it any more, as Ollama's requests say it."""

from __future__ import annotations

import re
import sys
from typing import Any, ClassVar

from marshmallow import fields

from gateway.schemas.parameters import short
from gateway.schemas.problem import refuse, show, wrong_type

FOREVER = float("inf")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_NUMBER, _UNIT = r"[0-9]{1,12}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}", "ns|us|µs|μs|ms|s|m|h"
_PART = re.compile(rf"({_NUMBER})({_UNIT})")
_SAID = rf"[+-]?(?:(?:(?:{_NUMBER})(?:{_UNIT}))+|[0-9]{{1,12}})"
_LONGEST = 64
"""Characters of one."""


class KeepAlive(fields.Field[float]):
    """Seconds, as a number or as Go writes them: `5m`, `1h30m`. Less than none is for ever."""

    json_schema: ClassVar = {
        "anyOf": [{"type": "number"}, {"type": "string", "maxLength": _LONGEST, "pattern": f"^{_SAID}$"}]
    }

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise wrong_type("a number of seconds, or a duration", value)
        seconds = _seconds(short(value, _LONGEST)) if isinstance(value, str) else value
        return float(seconds) if 0 <= seconds <= sys.float_info.max else FOREVER  # JSON's integers have no end


def _seconds(said: str) -> float:
    if not re.fullmatch(_SAID, said):
        raise refuse("invalid_value", f"{show(said)} is no duration, such as 5m or 300")
    parts = _PART.findall(said)
    length = sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else abs(float(said))
    return -length if said.startswith("-") else length
