"""A model in several GGUF files, which llama.cpp finds by their names once it is given the first one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from shared.errors import ModelFileError
from worker.formats.gguf import find_fault, read_header
from worker.formats.gguf_header import Header

MOST_PARTS = 1_000
"""Files of one model."""
_NAME = re.compile(r"(?P<prefix>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


def with_parts(path: Path, header: Header) -> tuple[Header, tuple[Path, ...]]:
    """The header of a model's first file with the tensors of all of them, and these files, the first one first.

    Raises ModelFileError where one is not there, or is none of this model.
    """
    count = header.metadata.get("split.count", 0)
    if type(count) is not int or count < 2:
        return header, (path,)
    name = _NAME.fullmatch(path.name)
    if not name or (int(name["number"]), int(name["count"])) != (1, count) or count > MOST_PARTS:
        raise ModelFileError(
            f"{path}: the first of {count} files of a model, which are found by their names: this one has to end with"
            f" -00001-of-{count:05}.gguf"
        )
    parts, tensors = [path], list(header.tensors)
    for number in range(2, count + 1):
        part = path.with_name(f"{name['prefix']}-{number:05}-of-{count:05}.gguf")
        found = read_header(part)
        if (found.metadata.get("split.no"), found.metadata.get("split.count")) != (number - 1, count):
            raise ModelFileError(f"{part}: this is not part {number} of {count} of a model, as its name says")
        parts.append(part)
        tensors += found.tensors
    if fault := find_fault(header.metadata, tensors):
        raise ModelFileError(f"{path}: {fault[1]}")
    return replace(header, tensors=tuple(tensors)), tuple(parts)
