"""Are `gateway`, `worker` and `shared` really ours? Names so plain may exist elsewhere on the import path."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


def intruder() -> str | None:
    """What is wrong with the installation, in one sentence; None when nothing is. Imports none of the packages."""
    for name in ("gateway", "worker", "shared"):
        place = _place(find_spec(name))
        if place is None:
            return f"the package {name!r} of inferq is missing from {_ROOT}: install inferq again"
        if place != _ROOT / name:
            return (
                f"the package {name!r} in {place} hides inferq's own in {_ROOT / name}:"
                " give inferq an environment of its own, and do not start it with `python -m` in that folder"
            )
    return None


def _place(spec: ModuleSpec | None) -> Path | None:
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve()
    return Path(spec.origin or spec.name).resolve()
