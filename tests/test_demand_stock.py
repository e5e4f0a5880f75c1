"""What a machine offers on demand: what is said of files that are no models yet, and what memory models get."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferq.agent.stock import Stock
from shared.config import Config
from tests.tiny import TINY


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


def test_what_is_to_be_measured_here_has_memory_for_that(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").symlink_to(TINY)
    assert stock(tmp_path).weigh("tiny").spare > 0
    assert stock(tmp_path, threads=1, batch_size=128).weigh("tiny").spare == 0
