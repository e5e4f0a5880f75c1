"""What a machine offers on demand: what is said of files that are no models yet, and what memory models get."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import pytest

from inferq.agent.stock import Stock
from shared.catalogue import Model
from shared.config import Config
from tests.tiny import TINY, split


def stock(folder: Path, **settings: int) -> Stock:
    found = Stock(Config(models=str(folder), **settings), lambda model: model)  # type: ignore[arg-type]  # all are numbers
    found.look()
    return found


def test_a_file_that_is_being_copied_is_told_once_and_without_its_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, whole = tmp_path / "late.gguf", TINY.read_bytes()
    path.write_bytes(whole[:300_000])
    found = stock(tmp_path)
    for size in (400_000, 500_000):
        path.write_bytes(whole[:size])
        assert found.look()
    fault = found.articles["late"].fault
    assert fault.startswith("late.gguf: ")
    assert "but the file has 500000; it is truncated" in fault
    assert str(tmp_path) not in fault
    assert len([each for each in caplog.records if each.message.startswith("late cannot be served")]) == 1
    path.write_bytes(whole)
    assert found.look()
    assert not found.articles["late"].fault


def test_what_keeps_the_machine_from_reading_a_file_is_no_fault_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "tiny.gguf").symlink_to(TINY)
    low, most = resource.getrlimit(resource.RLIMIT_NOFILE)

    def use_up(model: Model) -> Model:
        """Of a machine on which all files that may be open are."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
        return model

    found = Stock(Config(models=str(tmp_path)), use_up)
    try:
        limit = 3
        found.look()
        assert found.articles["tiny"].fault == "tiny.gguf: cannot be read: Too many open files"
        before = found.articles
        found.look()  # the folder cannot be read either
        assert found.articles is before
        limit = low
        resource.setrlimit(resource.RLIMIT_NOFILE, (low, most))
        assert found.look()
        assert not found.articles["tiny"].fault
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (low, most))
    told = [each.message for each in caplog.records]
    assert len([each for each in told if each.startswith("tiny cannot be served")]) == 1
    assert len([each for each in told if each.startswith("the models stay as they were")]) == 1


def test_a_part_that_comes_later_is_seen(tmp_path: Path) -> None:
    (beside := tmp_path / "beside").mkdir()
    split(TINY, beside / "tiny.gguf")
    first, second, *others = sorted(beside.iterdir())
    (folder := tmp_path / "folder").mkdir()
    for path in (first, *others):
        shutil.copy(path, folder)
    found = stock(folder)
    assert second.name in found.weigh("tiny").fault
    assert not found.look()
    shutil.copy(second, folder)
    assert found.look()
    assert not found.weigh("tiny").fault


def test_what_is_to_be_measured_here_has_memory_for_that(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").symlink_to(TINY)
    assert stock(tmp_path).weigh("tiny").spare > 0
    assert stock(tmp_path, threads=1, batch_size=128).weigh("tiny").spare == 0
