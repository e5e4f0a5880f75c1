"""Models in several files, as llama.cpp's gguf-split makes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import ModelFileError
from tests.tiny import TINY, likeliest, loaded, split


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """The first of several files of the tiny model, each but a link: their names are nowhere else."""
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    split(TINY, blobs / "tiny.gguf")
    for number, blob in enumerate(sorted(blobs.iterdir())):
        link = tmp_path / blob.name
        link.symlink_to(blob.rename(blobs / f"{number}"))
    return min(tmp_path.glob("tiny-*.gguf"))


def test_it_computes_what_the_whole_one_does(first: Path) -> None:
    assert len(list(first.parent.glob("tiny-*-of-00004.gguf"))) == 4
    assert likeliest(first, [1, 2, 3], 8) == likeliest(TINY, [1, 2, 3], 8)


def test_each_part_has_to_be_there(first: Path) -> None:
    second = first.with_name("tiny-00002-of-00004.gguf")
    third = second.rename(first.with_name("third"))
    with pytest.raises(ModelFileError, match=r"cannot be read.*: tiny-00002-of-00004\.gguf$"), loaded(first):
        pass
    second.symlink_to(first.with_name("tiny-00003-of-00004.gguf"))
    with pytest.raises(ModelFileError, match=r"not part 2 of 4"), loaded(first):
        pass
    second.unlink()
    third.rename(second)
    with pytest.raises(ModelFileError, match=r"has to end with -00001-of-00004\.gguf"), loaded(renamed(first)):
        pass
    with pytest.raises(ModelFileError, match=r"part 2 of 4 of a model: give the first one"), loaded(second):
        pass


def renamed(first: Path) -> Path:
    return first.rename(first.with_name("tiny.gguf"))
