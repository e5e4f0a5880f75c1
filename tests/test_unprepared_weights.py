"""Weights that cannot be prepared: whatever keeps inferq from it, the model's own file is served."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

from inferq.agent import room
from inferq.memory import settle
from inferq.weights import choose_together, choose_weights, find_weights
from shared import catalogue
from shared.config import Config
from shared.errors import ModelLoadError
from tests.commands import inferq
from tests.held import held
from tests.tiny import TINY
from worker.formats import prepared
from worker.formats.preparation import prepare
from worker.formats.quantise import quantise
from worker.memory import footprint

Shapes = Mapping[int, Sequence[tuple[int, int]]]
pytestmark = pytest.mark.usefixtures("prepared_folder")


def faster(shapes: Shapes, wanted: int, threads: int) -> dict[int, list[float]]:
    return {kind: [1.0, 1.5, 2.0] for kind in shapes}


def test_a_user_without_a_home_is_served(slow_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", without_home)
    assert prepare(TINY).path == TINY
    assert "no home directory" in prepare(slow_model, compare=faster).why
    assert prepared.find(slow_model) is None


def without_home() -> Path:
    raise RuntimeError


def test_who_prepares_and_was_stopped_keeps_nobody_from_serving(
    slow_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.file_lock.PATIENCE", 0.5)
    with held(slow_model) as stopped:
        stopped.send_signal(signal.SIGSTOP)
        served = prepare(slow_model, compare=faster)
    assert served.path == slow_model
    assert served.why == f"process {stopped.pid} prepares weights, and may have been stopped in that"


def test_what_a_killed_one_has_left_goes_with_any_other_model(slow_model: Path, prepared_folder: Path) -> None:
    with held(slow_model):
        pass
    assert list(prepared_folder.glob(".*.part"))
    prepare(TINY)
    assert not list(prepared_folder.glob(".*.part"))


def test_a_machine_that_cannot_be_measured_is_not_measured_at_each_start(slow_model: Path) -> None:
    def fail(shapes: Shapes, wanted: int, threads: int) -> dict[int, list[float]]:
        raise ModelLoadError("no clock")

    for compare in (fail, faster):
        assert prepare(slow_model, compare=compare).why == "no clock; `inferq pull` tries again"
    assert "no clock" in inferq("info", slow_model).stdout
    own = slow_model.with_name("models.toml")
    own.write_text(f'[[model]]\nid = "named"\nsource = "{slow_model}"\n')
    listed = json.loads(inferq("models", "--json", "--models", own).stdout)
    assert "`inferq pull` tries again" in {each["id"]: each["unprepared"] for each in listed}["named"]
    assert prepare(slow_model, anew=True, compare=faster).path != slow_model


def test_a_file_is_not_read_for_a_cache_that_cannot_be_written(
    slow_model: Path, prepared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared_folder.parent.mkdir(parents=True)
    prepared_folder.write_text("a file")
    monkeypatch.setattr(prepared, "identify", lambda path: pytest.fail("it is read"))
    assert "cannot be kept" in prepare(slow_model, compare=faster).why


def test_of_a_cache_that_can_only_be_read_what_is_there_is_served(slow_model: Path, prepared_folder: Path) -> None:
    made = prepare(slow_model, compare=faster)
    (prepared_folder / "prepare.lock").unlink()
    (prepared_folder / "prepare.lock").mkdir()
    assert prepare(slow_model, compare=faster) == made


def test_what_others_may_have_put_there_is_not_served(
    slow_model: Path, prepared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = prepare(slow_model, compare=faster)
    assert stat.S_IMODE(prepared_folder.stat().st_mode) == 0o700
    prepared_folder.chmod(0o775)
    served = prepare(slow_model, compare=faster)
    assert served.path == slow_model
    assert "others may write to it" in served.why
    prepared_folder.chmod(0o755)
    assert prepare(slow_model, compare=faster) == made
    theirs = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: theirs)
    assert prepare(slow_model, compare=faster).path == slow_model


def test_weights_of_several_models_have_to_have_room_together(
    slow_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantise(TINY, tmp_path / "other.gguf", "Q5_1", pure=True)
    models = [catalogue.resolve(str(path)) for path in (slow_model, tmp_path / "other.gguf")]
    for path in (slow_model, tmp_path / "other.gguf"):
        prepare(path, compare=faster)
    monkeypatch.setattr("shared.memory.total", lambda: int(2.5 * slow_model.stat().st_size))
    assert choose_weights(models[0], Config()).prepared_from, "alone it has"
    assert not any(model.prepared_from for model in choose_together(models, Config()))


def test_those_that_do_not_fit_are_not_served(slow_model: Path) -> None:
    prepare(slow_model, compare=faster)
    model, config = catalogue.resolve(str(slow_model)), Config(batch_size=128)
    own, larger = (footprint(each, config).total for each in (model, find_weights(model, config)))
    assert own < larger
    for there, served in ((own, slow_model), (larger, find_weights(model, config).path)):
        ((found,), (part,)) = settle([model], replace(config, memory=f"{there}B"), 1)
        assert (found.path, int(part)) == (served, there)
    assert room.weigh(model, config)[0] == larger, "it is what will be served on demand"


def test_no_file_has_the_measuring_take_all_memory(
    tmp_path: Path, slow_model: Path, monkeypatch: pytest.MonkeyPatch
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
