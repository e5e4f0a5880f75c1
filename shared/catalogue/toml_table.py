"""A table of a file in TOML, whose values are read strictly: what is wrong is told by file, table and key."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from shared import regular_file
from shared.catalogue.keys import KINDS
from shared.config import ConfigError

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class TomlTable:
    """Every method raises ConfigError for what is not as it says."""

    def __init__(self, path: Path, title: str, values: Mapping[str, Any]) -> None:
        self._path, self._values, self.title = path, values, title

    def read(self, key: str, read: Callable[[str], T], words: str) -> T | None:
        try:
            return read(str(self._values[key])) if key in self._values else None
        except ValueError:
            self.refuse(key, f"must be {words}, but is {self._values[key]!r}")

    def beside(self, key: str, text: str) -> Path:
        """A path, relative to the folder of the file."""
        try:
            return regular_file.find_named(text, self._path.parent)
        except OSError as exc:
            self.refuse(key, f"{text!r} is no path: {exc.strerror}")

    def inside(self, key: str, text: str) -> str:
        """A path in what is fetched, which leads nowhere else."""
        if not text.isprintable() or "\\" in text or {"", ".", ".."} & set(text.split("/")):
            self.refuse(key, f"{text!r} is no path inside of what is fetched")
        return text

    def name(self, key: str, text: Any) -> str:
        self.check(key, text, str)
        if not _NAME.fullmatch(text):
            self.refuse(key, f"{text!r} is no name: up to 128 of A-Z a-z 0-9 . _ : / @ + -, a letter or digit first")
        return str(text)

    def digest(self, key: str, *, needed: bool = False) -> str:
        text = self.require(key) if needed else self._values.get(key, "")
        if text and not _SHA256.fullmatch(text):
            self.refuse(key, "a SHA-256 is 64 digits of 0-9 a-f")
        return str(text)

    def require(self, key: str) -> str:
        text = self._values.get(key)
        if not text:
            self.refuse(key, "missing")
        return str(text)

    def check(self, key: str, value: Any, *kinds: type) -> None:
        # A boolean is an int to Python.
        if type(value) not in kinds:
            kind = KINDS.get(type(value), "another type")
            wanted = [KINDS[each] for each in kinds if each is not int or float not in kinds]
            self.refuse(key, f"must be {' or '.join(wanted)}, but is {kind}")

    def refuse(self, key: str, reason: str) -> NoReturn:
        raise ConfigError(f"{self._path}: {self.title}: key {key!r}: {reason}")
