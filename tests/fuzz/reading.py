"""One reader under atheris, in a process of its own.

    python -m tests.fuzz.reading TARGET FOLDER [libFuzzer's flags and files]

It keeps its counts in FOLDER/counts, for libFuzzer ends the process without a word to Python.
"""

from __future__ import annotations

import mmap
import random
import sys
import tempfile
from pathlib import Path

import atheris

from tests.fuzz.readers import COUNTS

with atheris.instrument_imports(
    include=["gateway", "shared", "worker", "tomllib", "json"], enable_loader_override=False
):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    name, folder, *flags = sys.argv[1:]
    target, place = TARGETS[name], Path(folder)
    with (place / "counts").open("r+b") as file:
        counts = mmap.mmap(file.fileno(), COUNTS.size)
    read, refused = 0, 0

    def test_one(content: bytes) -> None:
        nonlocal read, refused
        try:
            target.read(content, place / "work")
            read += 1
        except target.refusals:
            refused += 1
        COUNTS.pack_into(counts, 0, read, refused)

    def make_another(content: bytes, most: int, seed: int) -> bytes:
        dice = random.Random(seed)
        made: bytes = target.spoil(content, dice) if dice.random() < 0.5 else atheris.Mutate(content, most)
        return made[:most]

    atheris.Setup([sys.argv[0], *flags], test_one, custom_mutator=make_another)
    atheris.Fuzz()


if __name__ == "__main__":
    tempfile.tempdir = sys.argv[2]
    main()
