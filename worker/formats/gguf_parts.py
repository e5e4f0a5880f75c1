"""A model in several GGUF files, which llama.cpp finds by their names once it is given the first one."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

from shared.catalogue.parts import MOST_PARTS, files_of, number_of
from shared.errors import ModelFileError
from shared.misfits import WrongFile
from worker.formats.gguf import find_fault, read_header
from worker.formats.gguf_header import Header

MOST_BESIDE = 1_000
"""Files of a folder that are looked at."""
_ARRIVING = 60.0
"""Seconds after the last change in a folder in which further files may come."""


def with_parts(path: Path, header: Header) -> tuple[Header, tuple[Path, ...]]:
    """The header of a model's first file with the tensors of all of them, and these files, the first one first.

    Raises ModelFileError where one is not there, or is none of this model.
    """
    count = header.metadata.get("split.count", 0)
    if type(count) is not int or count < 2:
        return header, (path,)
    if number_of(path.name) != (1, count) or count > MOST_PARTS:
        raise ModelFileError(
            f"{path}: the first of {count} files of a model, which are found by their names: this one has to end with"
            f" -00001-of-{count:05}.gguf"
        )
    parts = files_of(path)
    if missing := [part.name for part in parts if not part.exists()]:
        kind = ModelFileError if _is_changing(path.parent) else WrongFile
        raise kind(
            f"{path}: of the {count} files of this model {len(missing)} cannot be read, which have to be in its folder:"
            f" {missing[0]}{' and others' if missing[1:] else ''}"
        )
    tensors = list(header.tensors)
    for number, part in enumerate(parts[1:], 1):
        found = read_header(part)
        if (found.metadata.get("split.no"), found.metadata.get("split.count")) != (number, count):
            raise ModelFileError(f"{part}: this is not part {number + 1} of {count} of a model, as its name says")
        tensors += found.tensors
    if fault := find_fault(header.metadata, tensors):
        raise ModelFileError(f"{path}: {fault[1]}")
    if len(tensors) != (told := header.metadata.get("split.tensors.count", len(tensors))):
        raise ModelFileError(f"{path}: its {count} files have {len(tensors)} tensors, not the {told} that it tells of")
    return replace(header, tensors=tuple(tensors)), parts


def _is_changing(folder: Path) -> bool:
    """Whether somebody writes to a file in it, as who copies them one after the other."""
    with suppress(OSError):
        latest = max((path.stat().st_mtime for path in islice(folder.iterdir(), MOST_BESIDE)), default=0.0)
        return time.time() - latest < _ARRIVING
    return False
