"""Weights that cannot be prepared: whatever keeps inferq from it, the model's own file is served."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import gguf
import numpy as np
import pytest

from tests.tiny import TINY
from worker.formats import prepared
from worker.formats.preparation import prepare
from worker.formats.quantise import quantise

HELD = """
import sys, time
from pathlib import Path
from worker.formats import rewrite
from worker.formats.preparation import prepare
quantise_rows = rewrite.quantise_rows
def slowly(rows, kind):
    print("writing", flush=True)
    time.sleep(60)
rewrite.quantise_rows = slowly
prepare(Path(sys.argv[1]), compare=lambda shapes, *_: dict.fromkeys(shapes, [1.0, 1.5, 2.0]))
"""


def faster(shapes: Mapping[int, Sequence[tuple[int, int]]], wanted: int, threads: int) -> dict[int, list[float]]:
    return {kind: [1.0, 1.5, 2.0] for kind in shapes}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where they are kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "inferq" / "models" / "prepared"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    quantise(TINY, tmp_path / "model.gguf", "Q4_1", pure=True)
    return tmp_path / "model.gguf"


def test_a_user_without_a_home_is_served(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", without_home)
    assert prepare(TINY).path == TINY
    assert "no home directory" in prepare(model, compare=faster).why
    assert prepared.find(model) is None


def without_home() -> Path:
    raise RuntimeError


def test_who_prepares_and_was_stopped_keeps_nobody_from_serving(
    model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.formats.preparation.PATIENCE", 0.5)
    with subprocess.Popen([sys.executable, "-c", HELD, str(model)], stdout=subprocess.PIPE) as stopped:
        assert stopped.stdout
        assert stopped.stdout.readline() == b"writing\n"
        stopped.send_signal(signal.SIGSTOP)
        served = prepare(model, compare=faster)
        stopped.kill()
    assert served.path == model
    assert "may have been stopped" in served.why


def test_what_a_killed_one_has_left_goes_with_any_other_model(model: Path, folder: Path, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HELD, str(model)], stdout=subprocess.PIPE) as killed:
        assert killed.stdout
        assert killed.stdout.readline() == b"writing\n"
        killed.kill()
    assert list(folder.glob(".*.part"))
    prepare(TINY)
    assert not list(folder.glob(".*.part"))


def test_no_file_has_the_measuring_take_all_memory(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A matrix of few rows has a long vector beside it: here of 250 MB for each megabyte of the file."""
    writer = gguf.GGUFWriter(tmp_path / "flat.gguf", "llama")
    flat = np.zeros((1, 1 << 15), np.float32)
    writer.add_tensor(
        "blk.0.ffn_up.weight",
        gguf.quants.quantize(flat, gguf.GGMLQuantizationType.Q4_1),
        raw_dtype=gguf.GGMLQuantizationType.Q4_1,
    )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert prepare(tmp_path / "flat.gguf", compare=faster).path == tmp_path / "flat.gguf"


HOMELESS = """
import sys
from pathlib import Path
def home():
    raise RuntimeError
Path.home = home
from shared.config import Config
from worker import process
def connect(*_, **__):
    sys.exit(7)
process.connect = connect
process.main(process.Model("echo", "", None, "echo", None), lambda: None, Config())
"""


def test_a_worker_of_a_user_without_a_home_keeps_no_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    done = subprocess.run([sys.executable, "-c", HOMELESS], capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
