"""The models of a folder: each model file in it, by the name of the file."""

from __future__ import annotations

import functools
import logging
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from shared.catalogue.choice import NO_MODEL
from shared.catalogue.file import is_legacy
from shared.catalogue.model import AUTO, Model
from shared.catalogue.parts import files_of, number_of, size_of, whole_name
from shared.errors import ModelFileError
from shared.passing import is_passing

log = logging.getLogger("inferq.models")

MOST_FILES = 10_000
"""Entries of a folder that are looked at."""
MOST_MODELS = 1000
"""Models that a folder has."""
_DEEPEST = 3
"""Folders in folders, as others sort them: makers, repositories."""

_NO_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters and ends of lines, what makes text run the other way than it is read, bytes that are no UTF-8."""


def models_in(folder: Path) -> list[Model]:
    """GGUF files, and files that begin like legacy GGML ones, in the order of their names.

    Where two are called alike, each is called by its path in the folder, and with the suffix where the paths differ in
    that alone. A folder that may not be read has none.

    Raises ModelFileError where it cannot be told at the moment what is there.
    """
    paths = list(islice(_files(folder), MOST_MODELS + 1))
    if len(paths) > MOST_MODELS:
        _tell_more(folder, f"more than {MOST_MODELS} models")
    paths = sorted(paths[:MOST_MODELS])
    whole = [_typed(path.with_name(whole_name(path.name)).relative_to(folder)) for path in paths]
    names = [path.stem for path in whole]
    for longer in ([path.with_suffix("") for path in whole], whole):
        count = Counter(names)
        names = [str(path) if count[name] > 1 else name for path, name in zip(longer, names, strict=True)]
    return _called(zip(paths, names, strict=True))


def companions_in(folder: Path) -> list[Model]:
    """GGUF files that are not offered for what they are called, which says that they go with a model. Raises what
    `models_in` does."""
    named = (path for path in _shown(folder) if path.suffix.lower() == ".gguf" and NO_MODEL.search(path.name))
    paths = sorted(islice(named, MOST_MODELS))
    return _called((path, str(path.relative_to(folder))) for path in paths)


def _called(files: Iterable[tuple[Path, str]]) -> list[Model]:
    found = dict[str, Model]()
    for path, name in files:
        if name in found:
            _tell_more(path.parent, f"several models that would be called {name!r}")
            continue
        try:
            found[name] = Model(name, f"file:{path}", path, AUTO, size_of(path))
        except OSError as exc:
            _pass_over(exc)
    return list(found.values())


def _files(folder: Path) -> Iterator[Path]:
    return filter(_is_model, _shown(folder))


def _shown(folder: Path) -> Iterator[Path]:
    looked = 0
    for place, folders, names in os.walk(folder, onerror=_pass_over):
        depth = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(filter(_is_shown, folders)) if depth < _DEEPEST else []
        for name in sorted(names):
            looked += 1
            if looked > MOST_FILES:
                _tell_more(folder, f"more than {MOST_FILES} files")
                return
            if _is_shown(name):
                yield Path(place) / name


@functools.cache  # once
def _tell_more(folder: Path, what: str) -> None:
    log.warning("%s: there are %s: the others are not offered", folder, what)


def _typed(path: Path) -> Path:
    """With letters as people type them, where a file that comes from macOS has them in parts."""
    return Path(unicodedata.normalize("NFC", str(path)))


def _is_shown(name: str) -> bool:
    """Also that of a folder: it may become a part of a model's name, which is to be text."""
    return not (_NO_TEXT.search(name) or name.startswith("."))


def _is_model(path: Path) -> bool:
    suffix = path.suffix.lower()
    if NO_MODEL.search(path.name):
        return False
    try:
        if _is_later(path):
            return False
        return path.is_file() and (suffix == ".gguf" or (suffix in (".bin", ".ggml") and is_legacy(path)))
    except OSError as exc:
        _pass_over(exc)
        return False


def _is_later(path: Path) -> bool:
    """Whether another part of a model stands for it, as the first one does, or of others the first that is there: so
    that somebody says that parts are missing."""
    number, count = number_of(path.name) or (1, 1)
    if not 1 < number <= count:
        return number != 1
    parts = files_of(path)
    return len(parts) != count or any(part.exists() for part in parts[: number - 1])


def _pass_over(exc: OSError) -> None:
    """What cannot be read is no model. Raises ModelFileError where that may be otherwise in a moment."""
    if is_passing(exc):
        raise ModelFileError(f"{exc.filename}: cannot be read at the moment: {exc.strerror}") from exc
