"""A checkpoint's config.json, from which nothing is taken that is not of the right kind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from shared.errors import ModelFileError


class Settings:
    """Reads values by name (the first of several names that is there); raises ModelFileError, with file and name."""

    def __init__(self, path: Path, values: Mapping[str, Any], prefix: str = "") -> None:
        self.path, self._values, self._prefix = path, values, prefix

    def whole(self, *names: str, default: int | None = None) -> int:
        name, value = self._find(names, default)
        if type(value) is not int or value < 0:
            self.refuse(name, value, "a whole number is needed")
        return value

    def number(self, *names: str, default: float | None = None) -> float:
        name, value = self._find(names, default)
        if type(value) not in (int, float) or not math.isfinite(value):
            self.refuse(name, value, "a number is needed")
        return float(value)

    def flag(self, *names: str, default: bool) -> bool:
        name, value = self._find(names, default)
        if type(value) is not bool:
            self.refuse(name, value, "true or false is needed")
        return value

    def word(self, *names: str, default: str | None = None) -> str:
        name, value = self._find(names, default)
        if type(value) is not str:
            self.refuse(name, value, "a text is needed")
        return value

    def part(self, *names: str) -> Settings:
        """What is nested under a name; empty where it is missing."""
        name, value = self._find(names, {})
        if not isinstance(value, dict):
            self.refuse(name, value, "an object is needed")
        return Settings(self.path, value, f"{self._prefix}{name}.")

    def has(self, name: str) -> bool:
        return self._values.get(name) is not None

    def only(self, name: str, *allowed: Any, default: Any) -> None:
        """Refuse a model that llama.cpp would compute otherwise."""
        value = default if self._values.get(name) is None else self._values[name]
        if value not in allowed:
            self.refuse(name, value, f"only {' or '.join(map(repr, allowed))} can be converted")

    def refuse(self, name: str, value: Any, what: str) -> NoReturn:
        raise ModelFileError(f"{self.path}: {self._prefix}{name} is {str(value)[:80]!r}: {what}")

    def _find(self, names: tuple[str, ...], default: Any) -> tuple[str, Any]:
        for name in names:
            if self._values.get(name) is not None:
                return name, self._values[name]
        if default is None:
            raise ModelFileError(f"{self.path}: {self._prefix}{names[0]} is missing")
        return names[0], default
