"""How `inferq models` shows the models that there are."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inferq.kept import hub_models
from inferq.table import align
from shared import catalogue
from shared.catalogue import Model
from shared.catalogue.use import is_used, last_use
from shared.config import Config
from shared.errors import InferqError

_PASSED_OVER = (
    "its name says that it goes with a model (mmproj, imatrix, vocab, lora, adapter or control vector): call it"
    " otherwise, or name it in models.toml"
)
_UNITS = ((86_400, "days"), (3_600, "hours"), (60, "minutes"))


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model, and what is known of its file."""

    model: Model
    prepared: Path | None
    """The file of the weights that were prepared of its own for this CPU, and are served."""
    unprepared: str
    """Why there are none, as far as it was tried."""
    used: float | None
    """When it was last begun with (Unix time)."""
    running: bool
    shared: tuple[str, ...]
    """Other models whose file is the same."""
    fault: str
    """Why it cannot be served, as far as the headers of its files tell; empty where nothing speaks against it."""


def rows(config: Config) -> list[ModelRow]:
    """The models that have names, those in the hub's cache that have none, and what lies beside models in their folder.

    Raises ConfigError.
    """
    named = catalogue.list_models(config.models)
    places = {model.path.resolve() for model in named if model.path}
    found = [*named, *(model for model in hub_models() if model.path and model.path.resolve() not in places)]
    names = defaultdict[Path, list[str]](list)
    for model in found:
        if model.path:
            names[model.path.resolve()].append(model.id)
    used = {path.resolve() for model in named for path in (*dict(model.adapters), model.draft) if path}
    beside = [each for each in catalogue.beside_models(config.models) if each.path and each.path.resolve() not in used]
    rows = [_row(model, names, _find_fault(model, config)) for model in found]
    return [*rows, *(_row(model, names, _find_fault(model, config) or _PASSED_OVER) for model in beside)]


def _find_fault(model: Model, config: Config) -> str:
    from inferq.inspection import read_outline, tell

    try:
        read_outline(model, config)
    except (InferqError, OSError) as exc:
        return tell(exc, model)
    return ""


def _row(model: Model, names: Mapping[Path, Sequence[str]], fault: str) -> ModelRow:
    """`names` are those of the models that have a file, by that."""
    if (path := model.path) is None:
        return ModelRow(model, None, "", None, False, (), fault)
    shared = tuple(name for name in names[path.resolve()] if name != model.id)
    return ModelRow(model, *_prepared(model), last_use(path), is_used(path), shared, fault)


def as_json(found: Sequence[ModelRow]) -> str:
    return json.dumps(
        [
            {
                "id": row.model.id,
                "aliases": list(row.model.aliases),
                "source": row.model.source,
                "base": row.model.adapter.base if row.model.adapter else None,
                "adapter": row.model.adapter.source if row.model.adapter else None,
                "path": str(row.model.path) if row.model.path else None,
                "engine": row.model.engine,
                "size": row.model.size,
                "prepared": str(row.prepared) if row.prepared else None,
                "unprepared": row.unprepared or None,
                "last_used": int(row.used) if row.used else None,
                "in_use": row.running,
                "shared_with": list(row.shared),
                "reason": row.fault or None,
            }
            for row in found
        ],
        indent=2,
    )


def as_table(found: Sequence[ModelRow]) -> str:
    table = [("ID", "ALIASES", "ENGINE", "SIZE", "PREPARED", "USED", "SOURCE", "PATH")]
    for row in found:
        model = row.model
        size = size_in_words(model.size) if model.size else "-"
        other = size_in_words(row.prepared.stat().st_size) if row.prepared else "no" if row.unprepared else "-"
        aliases = " ".join(model.aliases) or "-"
        place = _place(model) + (f" (as {', '.join(row.shared)})" if row.shared else "")
        table.append((model.id, aliases, model.engine, size, other, _use(row), _source(model), place))
    sizes = {row.model.path.resolve(): row.model.size or 0 for row in found if row.model.path}
    sizes |= {row.prepared: row.prepared.stat().st_size for row in found if row.prepared}
    faults = [("ID", "WHY IT CANNOT BE SERVED"), *((row.model.id, row.fault) for row in found if row.fault)]
    parts = [
        align(table),
        *([align(faults)] if len(faults) > 1 else []),
        f"{size_in_words(sum(sizes.values()))} in all",
    ]
    return "\n\n".join(parts)


def size_in_words(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e10 else f"{size / 1e6:.0f} MB"


def _use(row: ModelRow) -> str:
    if row.running:
        return "now"
    if row.used is None:
        return "-"
    past = max(0.0, time.time() - row.used)
    return next((f"{past // unit:.0f} {name} ago" for unit, name in _UNITS if past >= 2 * unit), "just now")


def _prepared(model: Model) -> tuple[Path | None, str]:
    from worker.formats.prepared import find

    known = find(model.path) if model.path and not model.as_is else None
    if not known or known[1]:
        return known[1] if known else None, ""
    return None, "" if known[0].kinds else known[0].why


def _source(model: Model) -> str:
    return f"{model.source} + {model.adapter.source}" if model.adapter else model.source


def _place(model: Model) -> str:
    if model.path:
        return str(model.path)
    if model.origin:
        return "(not pulled)"
    return "(missing)" if model.source.startswith("file:") else "-"
