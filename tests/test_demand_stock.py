"""What a machine offers on demand: what is said of files that are no models yet, and what memory models get."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inferq.agent.stock import Stock
from inferq.weights import choose_weights
from shared.config import Config
from shared.errors import ModelFileError
from shared.passing import is_passing
from tests.adapters import write_adapter
from tests.fixtures.make_legacy import write
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


def test_an_adapter_in_the_folder_is_no_model_from_the_beginning(tmp_path: Path) -> None:
    write_adapter(tmp_path / "formal.gguf")
    assert "but a LoRA adapter" in stock(tmp_path).articles["formal"].fault


def test_what_is_to_be_measured_here_has_memory_for_that(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").symlink_to(TINY)
    assert stock(tmp_path).weigh("tiny").spare > 0
    assert stock(tmp_path, threads=1, batch_size=128).weigh("tiny").spare == 0


@contextmanager
def no_more_files() -> Iterator[None]:
    """This process may open none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_error_that_passes_is_no_fault_of_a_file_and_takes_none_away(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").symlink_to(TINY)
    found = stock(tmp_path)
    with no_more_files():
        found.look()
        assert "tiny" in found.articles, "a folder that cannot be read now is not empty"


def test_a_file_that_could_not_be_read_is_looked_at_again_though_it_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").symlink_to(TINY)
    found = stock(tmp_path)
    with no_more_files():
        weighed = found.weigh("tiny")
    assert weighed.fault
    assert weighed.passing
    found.look()
    assert not found.articles["tiny"].fault


def test_a_file_that_is_missing_is_told_without_its_folder(tmp_path: Path) -> None:
    (path := tmp_path / "models.toml").write_text('[[model]]\nid = "gone"\nsource = "far/gone.gguf"\n')
    gone = stock(path).articles["gone"]
    assert gone.fault == "gone.gguf: no such file; models.toml wants it for 'gone'"
    assert str(tmp_path / "far") in gone.detail
    assert not gone.passing


@pytest.mark.parametrize(("number", "passes"), [(errno.EIO, True), (errno.ELOOP, False), (errno.EINVAL, False)])
def test_what_a_machine_cannot_do_passes_and_what_a_file_is_does_not(number: int, passes: bool) -> None:
    told = ModelFileError("a.gguf: cannot be read")
    told.__cause__ = OSError(number, os.strerror(number))
    assert is_passing(told) is passes


@pytest.mark.usefixtures("prepared_folder")
def test_what_has_to_be_repacked_is_told_and_not_done_while_others_wait(tmp_path: Path) -> None:
    write("gpt2", "F16", tmp_path / "old.bin")
    found = stock(tmp_path)
    article = found.weigh("old")
    assert (article.raw, article.weighed, article.fault) == (True, False, "")
    assert not list(tmp_path.rglob("*.gguf"))
    choose_weights(article.model, Config())  # what a process of its own does
    assert found.provide("old")
    article = found.weigh("old")
    assert (article.raw, article.weighed) == (False, True)


@pytest.mark.usefixtures("prepared_folder")
def test_what_may_be_prepared_is_raw_until_that_was_tried(slow_model: Path) -> None:
    name, found = slow_model.stem, stock(slow_model.parent)
    assert found.weigh(name).raw
    assert found.provide(name), "whatever came of it"
    assert not found.weigh(name).raw
    assert not stock(slow_model.parent, as_is=1).weigh(name).raw
