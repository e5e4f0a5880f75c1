"""Weights that are prepared for this CPU: of what, when, once, and whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gguf
import numpy as np
import pytest

from inferq.weights import choose_weights
from shared import catalogue
from shared.config import Config
from tests.commands import inferq
from tests.held import held
from tests.stack import Stack
from tests.tiny import TINY, loaded, split
from worker.formats import prepared, trial
from worker.formats.gguf import MetadataArray, read_header
from worker.formats.preparation import prepare
from worker.formats.quantise import quantise

Q4_1, Q5_1, Q8_0 = 3, 7, 8
FASTER, SLOWER = [1.0, 1.5, 2.0], [0.6, 1.5, 2.0]
Shapes = Mapping[int, Sequence[tuple[int, int]]]
pytestmark = pytest.mark.usefixtures("prepared_folder")


class Measure:
    """Stands for what a machine measures, and counts how often it is asked."""

    def __init__(self, speeds: list[float]) -> None:
        self.speeds, self.asked = speeds, list[Shapes]()

    def __call__(self, shapes: Shapes, wanted: int, threads: int) -> dict[int, list[float]]:
        self.asked.append(shapes)
        return dict.fromkeys(shapes, self.speeds)


def kinds(path: Path) -> dict[str, int]:
    return {tensor.name: tensor.kind for tensor in read_header(path).tensors}


def weights(path: Path) -> dict[str, np.ndarray]:
    return {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(path).tensors}


def test_what_is_multiplied_becomes_q8_0_and_hardly_changes(slow_model: Path) -> None:
    served = prepare(slow_model, compare=Measure(FASTER))
    assert served.original == "Q4_1"
    before, after = kinds(slow_model), kinds(served.path)
    assert after == {name: Q8_0 if kind == Q4_1 else kind for name, kind in before.items()} | {
        "token_embd.weight": Q4_1
    }
    old, new = weights(slow_model), weights(served.path)
    for name in old:
        assert np.abs(old[name] - new[name]).max() <= np.abs(old[name]).max() / 200, name
    told, header = read_header(slow_model).metadata, read_header(served.path).metadata
    changed = {key for key in told if told[key] != header[key] and not isinstance(told[key], MetadataArray)}
    assert told.keys() == header.keys()
    assert changed == {"general.file_type"}
    assert served.path.stat().st_mtime_ns == slow_model.stat().st_mtime_ns


def test_it_is_another_model_for_whoever_goes_on_with_an_answer(slow_model: Path) -> None:
    served = prepare(slow_model, compare=Measure(FASTER)).path
    with loaded(slow_model) as one, loaded(served) as other:
        assert one.card.digest != other.card.digest
        assert one.tokenize("one two") == other.tokenize("one two")


def test_only_what_pays_is_changed(tmp_path: Path) -> None:
    quantise(TINY, tmp_path / "mixed.gguf", "Q5_K_M")
    before = kinds(tmp_path / "mixed.gguf")
    assert {Q5_1, Q8_0} < set(before.values())
    measure = Measure(FASTER)
    served = prepare(tmp_path / "mixed.gguf", compare=measure)
    assert [shapes.keys() for shapes in measure.asked] == [{Q5_1}]
    after = {name: Q8_0 if kind == Q5_1 else kind for name, kind in before.items()}
    assert kinds(served.path) == after | {"token_embd.weight": before["token_embd.weight"]}


def test_a_file_with_nothing_to_gain_is_not_even_hashed(prepared_folder: Path) -> None:
    measure = Measure(FASTER)
    assert prepare(TINY, compare=measure) == prepare(TINY, compare=measure)
    assert prepare(TINY, compare=measure).path == TINY
    assert not measure.asked
    assert not prepared_folder.exists()


def test_what_does_not_pay_is_served_as_it_is_and_tried_again_when_asked(
    slow_model: Path, prepared_folder: Path
) -> None:
    slow = Measure(SLOWER)
    for _ in range(2):
        served = prepare(slow_model, compare=slow)
        assert served.path == slow_model
        assert "0.60 times as fast with one answer" in served.why
    assert len(slow.asked) == 1
    assert not list(prepared_folder.glob("*.gguf"))
    assert prepare(slow_model, compare=Measure(FASTER)).path == slow_model
    assert prepare(slow_model, anew=True, compare=Measure(FASTER)).path != slow_model


@pytest.mark.parametrize(
    ("name", "value", "words"), [("_MEMORY", 1e9, "of memory"), ("FREE", 1 << 60, "disk of the cache has")]
)
def test_nothing_is_prepared_without_room(
    slow_model: Path, prepared_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: float, words: str
) -> None:
    monkeypatch.setattr(f"worker.formats.preparation.{name}", value)
    served = prepare(slow_model, compare=Measure(FASTER))
    assert served.path == slow_model
    assert words in served.why
    assert not list(prepared_folder.glob("*.gguf"))


def test_nothing_is_measured_without_room_and_it_is_when_there_is(
    slow_model: Path, prepared_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Measure(FASTER)
    with monkeypatch.context() as full:
        full.setattr("shared.memory.available", lambda: 90 << 20)
        assert "to measure takes" in prepare(slow_model, compare=measure).why
    assert not measure.asked
    assert prepare(slow_model, compare=measure).path != slow_model


def test_a_cache_that_cannot_be_written_is_no_reason_not_to_serve(slow_model: Path, prepared_folder: Path) -> None:
    prepared_folder.parent.mkdir(parents=True)
    prepared_folder.write_text("a file")
    served = prepare(slow_model, compare=Measure(FASTER))
    assert served.path == slow_model
    assert "cannot be kept" in served.why


def test_two_at_once_prepare_once(slow_model: Path, prepared_folder: Path) -> None:
    measure = Measure(FASTER)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: prepare(slow_model, compare=measure), range(2))
    assert first == second
    assert len(measure.asked) == 1
    assert len(list(prepared_folder.glob("*.gguf"))) == 1


def test_after_a_kill_it_is_begun_anew(slow_model: Path, prepared_folder: Path) -> None:
    with held(slow_model):
        assert len(list(prepared_folder.glob(".*.part"))) == 1
    measure = Measure(SLOWER)
    assert prepare(slow_model, compare=measure).path in set(prepared_folder.glob("*.gguf"))
    assert not measure.asked  # that was known before
    assert not list(prepared_folder.glob(".*.part"))


def test_what_was_prepared_goes_with_its_file(slow_model: Path, prepared_folder: Path) -> None:
    first = prepare(slow_model, compare=Measure(FASTER)).path
    copy = Path(shutil.copy(slow_model, slow_model.with_name("copy.gguf")))
    same = prepare(copy, compare=Measure(SLOWER)).path
    assert first.exists()
    quantise(TINY, slow_model, "Q5_1", pure=True)
    changed = prepare(slow_model, compare=Measure(FASTER)).path
    assert len({first, same, changed}) == 3
    assert not (first.exists() and not same.exists())
    copy.unlink()
    prepare(slow_model, anew=True, compare=Measure(FASTER))
    quantise(TINY, slow_model.with_name("other.gguf"), "Q4_1")
    other = prepare(slow_model.with_name("other.gguf"), compare=Measure(FASTER)).path
    assert set(prepared_folder.glob("*.gguf")) == {changed, other}


def test_a_spoiled_one_is_made_anew(slow_model: Path) -> None:
    made = prepare(slow_model, compare=Measure(FASTER)).path
    whole = made.read_bytes()
    made.write_bytes(whole[:-4096] + bytes(4096))
    assert prepare(slow_model, compare=Measure(FASTER)).path.read_bytes() == whole


def test_a_model_in_several_files_becomes_one(slow_model: Path, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    split(slow_model, tmp_path / "parts" / "model.gguf")
    served = prepare(min((tmp_path / "parts").iterdir()), compare=Measure(FASTER)).path
    assert kinds(served) == kinds(prepare(slow_model, compare=Measure(FASTER)).path)
    with loaded(served) as engine:
        assert engine.card.digest


def test_a_file_that_has_nothing_to_gain_any_more_leaves_nothing(slow_model: Path, prepared_folder: Path) -> None:
    prepare(slow_model, compare=Measure(FASTER))
    shutil.copy(TINY, slow_model)
    assert prepare(slow_model).path == slow_model
    assert [path.name for path in prepared_folder.iterdir()] == ["prepare.lock"]


def test_this_machine_is_measured() -> None:
    speeds = trial.compare({Q4_1: [(512, 512), (512, 1024)], Q5_1: [(512, 64)]}, Q8_0, threads=2)
    assert speeds.keys() == {Q4_1, Q5_1}
    assert all(len(found) == len(trial.TOKENS) and min(found) > 0 for found in speeds.values())


@pytest.fixture
def worker(served: Stack) -> Callable[..., dict[str, object]]:
    """What `inferq status` tells of a worker of the file, which says something."""

    def start(model: Path, *flags: str, **settings: object) -> dict[str, object]:
        served.start_worker(str(model), *flags, slots=1, **settings)
        told = served.client().completions.create(model=model.stem, prompt="one two", max_tokens=4)
        assert told.usage
        assert told.usage.completion_tokens
        status = inferq("status", "--json", INFERQ_REDIS_URL=str(served.settings["redis_url"]))
        [found] = json.loads(status.stdout)["workers"]
        return dict(found)

    return start


def test_a_worker_serves_weights_as_they_are_where_its_flag_says_so(
    slow_model: Path, worker: Callable[..., dict[str, object]]
) -> None:
    prepare(slow_model, compare=Measure(FASTER))
    found = worker(slow_model, "--as-is", as_is=0)
    assert (found["quantisation"], found["prepared_from"]) == ("Q4_1", None)


def test_models_toml_and_a_setting_say_so_too(slow_model: Path, tmp_path: Path) -> None:
    made = prepare(slow_model, compare=Measure(FASTER)).path
    own = tmp_path / "models.toml"
    own.write_text(f'[[model]]\nid = "named"\nsource = "{slow_model}"\nas_is = true\n')
    assert choose_weights(catalogue.resolve("named", models_toml=str(own)), Config()).path == slow_model
    assert choose_weights(catalogue.resolve(str(slow_model)), Config(as_is=1)).path == slow_model
    assert choose_weights(catalogue.resolve(str(slow_model)), Config()).path == made


def test_it_is_shown(slow_model: Path, worker: Callable[..., dict[str, object]], tmp_path: Path) -> None:
    made = prepare(slow_model, compare=Measure(FASTER)).path
    found = worker(slow_model, as_is=0)
    assert (found["quantisation"], found["prepared_from"]) == ("Q8_0", "Q4_1")
    (tmp_path / "models.toml").write_text(f'[[model]]\nid = "named"\nsource = "{slow_model}"\n')
    listed = json.loads(inferq("models", "--json", "--models", str(tmp_path / "models.toml")).stdout)
    assert {each["id"]: each["prepared"] for each in listed}["named"] == str(made)
    assert json.loads(inferq("info", "--json", slow_model).stdout)["prepared"] == str(made)
    assert "1.50 with eight" in inferq("info", slow_model).stdout


def test_a_pull_prepares_the_built_in_model(
    smollm2_path: Path, monkeypatch: pytest.MonkeyPatch, worker: Callable[..., dict[str, object]]
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    done = inferq("pull", INFERQ_AS_IS="0")
    assert done.stdout == f"{smollm2_path}\n"
    known = prepared.find(smollm2_path)
    assert known
    assert known[0].speeds.keys() == {Q4_1}
    if known[1]:  # which it is depends on this machine
        assert "weights prepared for this CPU from SmolLM2-135M-Instruct.Q4_1.gguf are served" in done.stderr
        assert worker(Path("smollm2"), as_is=0)["prepared_from"] == "Q4_1"
    else:
        assert "is served as it is" in done.stderr
