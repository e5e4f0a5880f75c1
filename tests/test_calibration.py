"""What fits a machine: what is made of measured times, and what becomes of measuring that fails."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from shared import registry
from shared.catalogue import Model
from shared.config import Config
from shared.errors import ModelFileError
from tests.stack import Stack
from tests.tiny import TINY
from worker import engines
from worker.engines import llama_cpp_calibration as calibration
from worker.engines.host_process import HostProcess
from worker.engines.llama_cpp_calibration_host import MEASURED
from worker.engines.llama_cpp_fitting import choose

OPEN = Config()
QUICK = {
    "single": [[1, 0.0067], [2, 0.0062]],
    "batch": [[2, 0.075]],
    "steps": [[16, 0.043], [32, 0.076], [64, 0.137], [128, 0.286]],
    "deep": {
        "": [[1, 0.056], [16, 0.43], [32, 0.812], [64, 0.775], [128, 1.234]],
        "plain": [[1, 0.030], [16, 0.190], [32, 0.374]],
    },
    "depth": 8192,
    "share": 0.88,
}
"""As a machine said it of a small model."""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def model(path: Path = TINY) -> Model:
    return Model("tiny", "", path, "llama.cpp", None)


def kept(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "cache/inferq/calibrations").glob("*.json"))


def test_a_thread_more_has_to_pay() -> None:
    assert choose(QUICK, 8192, 9).threads == 1
    assert choose({**QUICK, "single": [[1, 0.027], [2, 0.0128]]}, 8192, 9).threads == 2
    assert choose({**QUICK, "single": [[1, 0.110], [2, 0.100]]}, 8192, 9).threads == 2  # what waits is little of that
    assert choose({**QUICK, "single": [[4, 0.010], [7, 0.0099], [8, 0.031]]}, 8192, 9).threads == 4


def test_siblings_have_to_pay_too() -> None:
    assert choose({**QUICK, "batch": [[2, 0.075], [4, 0.073]]}, 8192, 9).batch_threads == 2
    assert choose({**QUICK, "batch": [[2, 0.075], [4, 0.060]]}, 8192, 9).batch_threads == 4


def test_the_step_fits_at_the_end_of_a_full_context() -> None:
    found = choose(QUICK, 8192, 9)
    assert (found.step, found.attention) == (32, "plain")  # which take 0.374 s there, but 24 are of little use
    assert choose(QUICK, 1024, 9).step > 64
    assert choose(QUICK, 65_536, 9).step == 32
    slow = {**QUICK, "steps": [[16, 0.5]], "deep": {"": [[1, 0.5]]}}
    assert choose(slow, 8192, 9).step == 16
    alone = {**QUICK, "deep": {"": QUICK["deep"][""]}}  # type: ignore[index]  # a dict of many things
    assert choose(alone, 8192, 9).step == 80  # all take too long, and these hardly longer than 64
    fast = {
        **QUICK,
        "steps": [[n, n / 1e5] for n in (16, 32, 64, 128, 256, 512)],
        "deep": {"": [[1, 0.0067], [512, 0.006]]},
    }
    assert choose(fast, 8192, 9).step == 512


def test_plain_attention_has_to_pay_and_to_have_room() -> None:
    assert choose(QUICK, 8192, 1000).attention == ""
    equal = {**QUICK, "deep": {"": [[1, 0.031], [16, 0.190]], "plain": [[1, 0.030], [16, 0.190]]}}
    assert choose(equal, 8192, 9).attention == ""
    slower = {**QUICK, "deep": {"": [[1, 0.056], [16, 0.060], [32, 0.08]], "plain": [[1, 0.030], [16, 0.190]]}}
    assert choose(slower, 8192, 9).attention == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"single": []},
        {"steps": []},
        {"steps": [[16, float("nan")]]},
        {"steps": [[16, -1]]},
        {"single": [[10**9, 1]]},
        {"deep": {}},
        {"deep": []},
        {"depth": 0},
        {"share": 7},
        {"steps": [[1024, 5e-324]]},
        {"deep": {"of its own": [[1, 0.05]]}},
    ],
)
def test_what_nobody_measured_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError, LookupError, AttributeError)):
        choose({**QUICK, **wrong}, 8192, 9)


@pytest.mark.parametrize(
    "said",
    [
        json.dumps({**QUICK, "single": [[float("inf"), 1]]}),
        json.dumps({**QUICK, "batch": [[2, 10**400]]}),
        "[" * calibration.LONGEST,
        "",
        "[]",
    ],
)
def test_whatever_the_child_says_the_model_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, said: str
) -> None:
    def greet(process: HostProcess, measuring: object, patience: float) -> float:
        (process.directory / MEASURED).write_text(said)
        return 0.0

    monkeypatch.setattr(HostProcess, "greet", greet)
    assert engines.fit(model(), OPEN) == OPEN
    assert "could not be measured" in caplog.text
    assert len(kept(tmp_path)) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"threads": 10**30}, {"step": 0}, {"step": 4096}, {"attention": ["plain"]}, {"told": None}, {"failed": 1e300}],
)
def test_a_record_that_nobody_can_have_measured_is_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, wrong: dict[str, Any]
) -> None:
    monkeypatch.setattr(calibration, "PATIENCE", 0.0)
    engines.fit(model(), OPEN)
    (record,) = kept(tmp_path)
    whole = {"threads": 1, "batch_threads": 1, "step": 64, "attention": "", "told": ""}
    record.write_text(json.dumps({**whole, **wrong}))
    caplog.clear()
    assert engines.fit(model(), OPEN) == OPEN
    assert "could not be measured" in caplog.text


def test_numbers_that_are_named_are_not_measured(tmp_path: Path) -> None:
    named = Config(threads=3, batch_size=40)
    assert engines.fit(model(), named) == named
    assert kept(tmp_path) == []
    echo = Model("echo", "", None, "echo", None)
    assert engines.fit(echo, OPEN) == OPEN


def test_it_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "QUIET", 0.0)  # other tests have the cores
    found = engines.fit(model(), OPEN)
    assert found.threads >= 1
    assert found.batch_threads >= 1
    assert 16 <= found.batch_size <= 512
    (record,) = kept(tmp_path)
    record.write_text(json.dumps({**json.loads(record.read_text()), "threads": 7, "step": 72}))
    again = engines.fit(model(), OPEN)
    assert (again.threads, again.batch_size) == (7, 72)
    assert engines.fit(model(), Config(batch_size=200)).batch_size == 200


def test_a_busy_machine_is_measured_again_but_not_at_each_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(calibration, "QUIET", 1.01)
    assert engines.fit(model(), OPEN) == OPEN
    assert "busy" in caplog.text
    caplog.clear()
    assert engines.fit(model(), OPEN) == OPEN, "as when its worker has died, and somebody waits"
    assert caplog.text == ""
    (record,) = kept(tmp_path)
    record.write_text(json.dumps({"failed": json.loads(record.read_text())["failed"] - 600}))
    assert engines.fit(model(), OPEN) == OPEN
    assert "busy" in caplog.text


def test_a_child_that_takes_too_long_keeps_no_model_from_being_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(calibration, "PATIENCE", 0.0)
    assert engines.fit(model(), OPEN) == OPEN
    assert "was not ready after 0 s" in caplog.text
    caplog.clear()
    assert engines.fit(model(), OPEN) == OPEN  # nor is it tried at each start
    assert caplog.text == ""
    (record,) = kept(tmp_path)
    assert "failed" in json.loads(record.read_text())


def test_without_a_place_to_keep_it_a_file_is_measured_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("no folder")
    monkeypatch.setattr(calibration, "PATIENCE", 0.0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert engines.fit(model(), OPEN) == OPEN
        assert "could not be measured" in caplog.text
        assert f"is kept in {tmp_path}" in caplog.text
        caplog.clear()
        assert engines.fit(model(), OPEN) == OPEN
    assert "could not be measured" not in caplog.text
    (tmp_path / f"inferq-{os.geteuid()}").rename(tmp_path / "away")
    (tmp_path / f"inferq-{os.geteuid()}").symlink_to(tmp_path / "away")
    assert engines.fit(model(), OPEN) == OPEN
    assert "each start measures anew" in caplog.text


def test_a_damaged_file_is_refused_as_ever(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(TINY.read_bytes()[:5000])
    with pytest.raises(ModelFileError):
        engines.fit(model(broken), OPEN)


def test_a_worker_tells_what_it_computes_with(served: Stack) -> None:
    served.start_worker(str(TINY), threads=1, batch_threads=2, batch_size=48)
    (worker,) = registry.workers(served.redis)
    assert (worker.threads, worker.batch_threads, worker.batch_size) == (1, 2, 48)


def test_also_where_that_is_not_what_was_set(served: Stack) -> None:
    served.start_worker(str(TINY), threads=1, batch_size=8, slots=12)  # a step has a token of each slot
    (worker,) = registry.workers(served.redis)
    assert (worker.threads, worker.batch_threads, worker.batch_size) == (1, 1, 12)
