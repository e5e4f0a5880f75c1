"""A model in several files, as `llama-gguf-split` makes them: `NAME-00001-of-00003.gguf` and so on."""

from __future__ import annotations

import re
from pathlib import Path

MOST_PARTS = 1_000
"""Files of one model."""
_NAME = re.compile(r"(?P<whole>.*[^/])-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.gguf)", re.IGNORECASE)


def number_of(name: str) -> tuple[int, int] | None:
    """Which part a file of that name or path is, from 1 on, and of how many; None where it is none."""
    found = _NAME.fullmatch(name)
    return (int(found["number"]), int(found["count"])) if found else None


def names_of(name: str) -> tuple[str, ...]:
    """The names of all files of the model in which a file of that name or path is, the first one first."""
    found = _NAME.fullmatch(name)
    if not found or not 1 < int(found["count"]) <= MOST_PARTS:
        return (name,)
    count = int(found["count"])
    return tuple(f"{found['whole']}-{i:05}-of-{count:05}{found['suffix']}" for i in range(1, count + 1))


def whole_name(name: str) -> str:
    """The name that the file would have if it were one."""
    found = _NAME.fullmatch(name)
    return found["whole"] + found["suffix"] if found else name


def files_of(path: Path) -> tuple[Path, ...]:
    """The files of the model in which the file at `path` is, whether or not they are there."""
    return tuple(map(path.with_name, names_of(path.name)))


def size_of(path: Path) -> int:
    """Bytes of the model in which a file is, as far as its files are there. Raises OSError where this one is not."""
    others = (file for file in files_of(path) if file != path and file.is_file())
    return path.stat().st_size + sum(file.stat().st_size for file in others)
