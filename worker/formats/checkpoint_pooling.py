"""How a checkpoint of sentence-transformers makes one vector of those of a text's tokens: modules.json tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shared.errors import ModelFileError
from shared.regular_file import read_bytes
from worker.formats.checkpoint_tokenizer import LARGEST_JSON, read_json

_MEAN, _CLS, _LAST = 1, 2, 3
"""llama.cpp's numbers."""
_MODES = {"mean": _MEAN, "cls": _CLS, "lasttoken": _LAST}
_FLAGS = {"pooling_mode_mean_tokens": _MEAN, "pooling_mode_cls_token": _CLS, "pooling_mode_lasttoken": _LAST}
"""The same in older checkpoints."""
_OTHERS = ("Transformer", "Normalize")
"""Modules that change nothing here: the first is the model, the last brings vectors to length 1, as all get it."""


def read_pooling(folder: Path, *, embeds: bool) -> int | None:
    """llama.cpp's number of it; None where there is none. Without modules.json a model that `embeds`, and does nothing
    else, takes the mean, as sentence-transformers does.

    Raises ModelFileError for what is damaged, or would be computed otherwise.
    """
    path, pooling = folder / "modules.json", _MEAN if embeds else None
    for module in _modules(path):
        kind, place = str(module.get("type")).rpartition(".")[2], module.get("path")
        if kind == "Pooling":
            pooling = _read(folder / str(place) / "config.json")
        elif kind not in _OTHERS:
            raise ModelFileError(f"{path}: the module {kind[:40]!r} cannot be converted")
    return pooling


def _modules(path: Path) -> list[dict[str, Any]]:
    try:
        modules = json.loads(read_bytes(path, LARGEST_JSON))
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise ModelFileError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise ModelFileError(f"{path}: this is not JSON: {exc}") from exc
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ModelFileError(f"{path}: this is not a list of modules")
    return modules


def _read(path: Path) -> int:
    config = read_json(path)
    mode = config.get("pooling_mode")
    on = (
        [mode]
        if mode
        else [name for name, value in config.items() if name.startswith("pooling_mode_") and value is True]
    )
    number = (_MODES | _FLAGS).get(str(on[0])) if len(on) == 1 else None
    if number is None:
        told = ", ".join(map(str, on))[:80] or "nothing"
        raise ModelFileError(f"{path}: only the mean of all tokens, the first or the last can be taken, not {told}")
    return number
