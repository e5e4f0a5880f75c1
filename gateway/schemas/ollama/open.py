"""Objects of which Ollama reads what it knows, and passes over the rest: what is passed over is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import INCLUDE

from gateway.schemas.objects import Strict, bound_keys

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
"""Of a key that may stand in a header of the answer."""


class Open(Strict):
    """An object with any keys. Those that are not known ask for nothing."""

    class Meta:
        unknown = INCLUDE

    def judge_keys(self, data: dict[str, Any]) -> None:
        bound_keys(data)

    def ignored(self, data: Mapping[str, Any]) -> list[str]:
        unknown = [name if _NAME.fullmatch(name) else "?" for name in data if name not in self.fields]
        return [*super().ignored(data), *dict.fromkeys(unknown)]
