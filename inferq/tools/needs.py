"""What a model would take of this machine's memory, for `inferq info`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shared import catalogue
from shared.catalogue import Model
from shared.config import Config
from shared.errors import InferqError


def tell_needs(given: Path | Model, models_toml: str) -> dict[str, Any]:
    """`context`, `bytes` in all and of each of the `parts`, `free`, and `words` for a person; empty for a file that is
    no model, or would have to be repacked first."""
    from inferq.weights import find_weights
    from worker import engines
    from worker.memory import DoesNotFit, find_room, fit_context

    config = Config.from_env()
    try:
        model = catalogue.resolve(str(given), models_toml=models_toml) if isinstance(given, Path) else given
        if model.path and catalogue.is_legacy(model.path) and engines.choose(model) == "llama.cpp":
            return {}
        model, config = find_weights(model, config), engines.own_settings(model, config)
        there = find_room(model, config)
        try:
            fitted = fit_context(model, config, there)
        except DoesNotFit as exc:
            return {"context": 0, "bytes": 0, "parts": {}, "free": there.free, "words": f"too much: {exc}"}
    except (InferqError, OSError):
        return {}
    found = fitted.footprint
    words = (
        f"{'' if found.measured else 'at most '}{found} with a context of {found.context:,} and {config.slots} slots"
    )
    return {
        "context": found.context,
        "bytes": found.total,
        "parts": dict(found.parts()),
        "free": there.free,
        "words": f"{words}; there are {there}" + (f"; {fitted.said}" if fitted.said else ""),
    }
