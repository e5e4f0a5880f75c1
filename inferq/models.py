"""How `inferq models` shows the models that have names."""

from __future__ import annotations

import json
from collections.abc import Iterable

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
        }
        for model in models
    ]
    return json.dumps(rows, indent=2)


def as_table(models: Iterable[Model]) -> str:
    rows = [("ID", "ALIASES", "ENGINE", "SIZE", "SOURCE", "PATH")]
    for model in models:
        size = f"{model.size / 1e6:.0f} MB" if model.size else "-"
        rows.append((model.id, " ".join(model.aliases) or "-", model.engine, size, model.source, _place(model)))
    return align(rows)


def _place(model: Model) -> str:
    if model.path:
        return str(model.path)
    if model.origin:
        return "(not pulled)"
    return "(missing)" if model.source.startswith("file:") else "-"
