"""How `inferq models` shows the models that have names."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from inferq.table import align
from shared.catalogue import Model


def as_json(models: Iterable[Model]) -> str:
    rows = [
        {
            "id": model.id,
            "aliases": list(model.aliases),
            "source": model.source,
            "path": str(model.path) if model.path else None,
            "engine": model.engine,
            "size": model.size,
            "prepared": str(made) if made else None,
            "unprepared": why or None,
        }
        for model in models
        for made, why in [_prepared(model)]
    ]
    return json.dumps(rows, indent=2)


def as_table(models: Iterable[Model]) -> str:
    rows = [("ID", "ALIASES", "ENGINE", "SIZE", "PREPARED", "SOURCE", "PATH")]
    for model in models:
        size = f"{model.size / 1e6:.0f} MB" if model.size else "-"
        made, why = _prepared(model)
        other = f"{made.stat().st_size / 1e6:.0f} MB" if made else "no" if why else "-"
        rows.append((model.id, " ".join(model.aliases) or "-", model.engine, size, other, model.source, _place(model)))
    return align(rows)


def _prepared(model: Model) -> tuple[Path | None, str]:
    """The file of the weights that were prepared of its own for this CPU, and are served; or why there is none, as far
    as it was tried."""
    from worker.formats.prepared import find

    known = find(model.path) if model.path and not model.as_is else None
    if not known or known[1]:
        return known[1] if known else None, ""
    return None, "" if known[0].kinds else known[0].why


def _place(model: Model) -> str:
    if model.path:
        return str(model.path)
    if model.origin:
        return "(not pulled)"
    return "(missing)" if model.source.startswith("file:") else "-"
