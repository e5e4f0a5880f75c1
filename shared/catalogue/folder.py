"""The models of a folder: each model file in it, by the name of the file."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from shared.catalogue.file import is_legacy
from shared.catalogue.model import AUTO, Model

MOST_FILES = 10_000
"""Entries of a folder that are looked at."""
MOST_MODELS = 1000
"""Models that a folder has."""
_DEEPEST = 3
"""Folders in folders, as others sort them: makers, repositories."""
_FURTHER_PART = re.compile(r"-(?!0*1-of-)[0-9]+-of-[0-9]+$")
_FIRST_PART = re.compile(r"-0*1-of-[0-9]+$")
_NO_MODEL = re.compile(r"mmproj|.*[-.]imatrix", re.IGNORECASE)


def models_in(folder: Path) -> list[Model]:
    """GGUF files, and files that begin like legacy GGML ones, in the order of their names.

    Where two are called alike, each is called by its path in the folder. A folder that cannot be read has none.
    """
    paths = sorted(islice(_files(folder), MOST_MODELS))
    names = [_FIRST_PART.sub("", path.stem) for path in paths]
    count = Counter(names)
    found = []
    for path, name in zip(paths, names, strict=True):
        if count[name] > 1:
            name = _FIRST_PART.sub("", str(path.relative_to(folder).with_suffix("")))
        with suppress(OSError):
            found.append(Model(name, f"file:{path}", path, AUTO, path.stat().st_size))
    return found


def _files(folder: Path) -> Iterator[Path]:
    looked = 0
    for place, folders, names in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if depth < _DEEPEST else []
        for name in sorted(names):
            looked += 1
            if looked > MOST_FILES:
                return
            path = Path(place) / name
            if name.isprintable() and not name.startswith(".") and _is_model(path):
                yield path


def _is_model(path: Path) -> bool:
    if _FURTHER_PART.search(path.stem) or _NO_MODEL.match(path.stem) or not path.is_file():
        return False
    if path.suffix == ".gguf":
        return True
    with suppress(OSError):
        return path.suffix in (".bin", ".ggml") and is_legacy(path)
    return False
