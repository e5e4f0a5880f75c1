"""What pays, written into models.toml: the user's comments and the order of things stay as they are."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Item, Table

from shared import folders, regular_file
from shared.catalogue import Model, Wheel
from shared.catalogue.models_toml import LARGEST_TOML, understand
from shared.catalogue.place import place
from shared.config import ConfigError
from shared.whole_file import write_whole

MARK = "inferq tune: "
"""What a comment of ours begins with."""


def target(setting: str) -> Path:
    """The models.toml to write into, whether there is one or not. Raises ConfigError."""
    return place(setting) or folders.config() / "models.toml"


def check(path: Path, model: Model) -> None:
    """Raises ConfigError where nothing could be written, before anything is measured."""
    try:
        path = path.resolve()
        document = tomlkit.parse(regular_file.read_text(path, LARGEST_TOML) if path.exists() else "")
        _table(document, model)
        understand(tomlkit.dumps(document), path)
        folder = next(each for each in path.parents if each.exists())
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, f"nothing can be written into {folder}")
    except (OSError, ValueError, TOMLKitError) as exc:
        raise ConfigError(f"{path}: cannot be written: {exc}") from exc


def write(path: Path, model: Model, changes: Mapping[str, Any], note: str) -> None:
    """Set the keys of the model's table, with the note beside them, or take out those that are None.

    A model that has no table gets one, which says of it what is known. Raises ConfigError; the file is as before then.
    """
    try:
        path = path.resolve()  # a link stays one
        there = path.exists()
        if not there:
            path.parent.mkdir(parents=True, exist_ok=True)
        document = tomlkit.parse(regular_file.read_text(path, LARGEST_TOML) if there else "")
        table = _table(document, model)
        for key, value in changes.items():
            _set(table, key, value, note)
        understand(text := tomlkit.dumps(document), path)
        with write_whole(path, mode=path.stat().st_mode & 0o777 if there else 0o644) as part:
            part.write_text(text, encoding="utf-8")
    except (OSError, ValueError, TOMLKitError) as exc:
        raise ConfigError(f"{path}: cannot be written: {exc}") from exc


def _table(document: tomlkit.TOMLDocument, model: Model) -> Table:
    """Raises ValueError."""
    tables = document.get("model")
    if tables is None:
        document.append("model", tables := tomlkit.aot())
    if not isinstance(tables, AoT):
        raise ValueError("its models are no tables that begin with [[model]], between which a comment has room")
    for table in tables:
        if isinstance(table, Table) and table.get("id") == model.id:
            return table
    table = tomlkit.table()
    for key, value in _known(model).items():
        table.add(key, value)
    tables.append(table)
    return table


def _known(model: Model) -> dict[str, Any]:
    """What a table says of a model that had none."""
    if adapter := model.adapter:
        told = {"id": model.id, "base": adapter.base, "adapter": adapter.source.removeprefix("file:")}
        return told | {"scale": adapter.scale} | ({"sha256": adapter.sha256} if adapter.sha256 else {})
    origin = model.origin
    wheel = {"member": origin.member, "wheel_sha256": origin.wheel_sha256} if isinstance(origin, Wheel) else {}
    told = {"id": model.id, "source": model.source.removeprefix("file:"), **wheel, "sha256": model.sha256}
    known: dict[str, Any] = {key: value for key, value in told.items() if value}
    if model.sampling:
        sampling = tomlkit.inline_table()
        sampling.update(model.sampling)
        known["sampling"] = sampling
    return known


def _set(table: Table, key: str, value: Any, note: str) -> None:
    before = table.item(key) if key in table else None
    said = before.trivia.comment.lstrip("# ") if isinstance(before, Item) else ""
    if value is None:
        if before is not None:
            table.remove(key)
        return
    table[key] = value
    own = MARK + note
    written = table.item(key)
    assert isinstance(written, Item), "it was written just now"
    written.comment(f"{said}; {own}" if said and MARK not in said else said.partition(MARK)[0] + own)
