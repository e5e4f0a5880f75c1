"""Spoiled model files, in short; `make fuzz` takes longer."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.fuzz import verdicts as reading
from tests.fuzz.hosts import loads
from tests.fuzz.mutation import seeds
from tests.fuzz.readers import fuzz
from tests.fuzz.targets import TARGETS
from tests.fuzz.verdicts import drawn, verdicts

SEED = 5_000_000


def test_spoiled_files_are_read_or_refused_in_words(tmp_path: Path) -> None:
    told = list(verdicts(range(SEED, SEED + 1500)))
    assert [verdict for verdict in told if verdict.faulty] == []
    assert len({verdict.reader for verdict in told}) == 7
    passed = [verdict.number for verdict in told if verdict.outcome == "read"]
    assert len(told) == 1500
    assert 500 <= len(passed) < 1200
    sound, path = seeds(tmp_path), tmp_path / "mutant"
    for number in passed[:4]:
        seed, content = drawn(number, sound)
        path.write_bytes(content)
        assert {outcome for outcome, _ in loads(seed, path).values()} <= {"answered", "refused in words"}, number


def test_a_reader_that_hangs_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PATIENCE", 0.0)
    (verdict,) = verdicts([SEED])
    assert verdict.faulty


def test_a_reader_that_dies_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "CHILD", ("-c", "input(); raise MemoryError"))
    (verdict,) = verdicts([SEED])
    assert verdict.faulty
    assert "ended with status 1" in verdict.outcome


@pytest.mark.parametrize("name", TARGETS)
def test_only_its_own_errors_come_out_of_a_reader(name: str, tmp_path: Path) -> None:
    """A few hundred cases; `python -m tests.fuzz.readers` goes on from what they reach."""
    target, dice = TARGETS[name], random.Random(7)
    examples, (read, refused) = target.examples(tmp_path), (0, 0)
    (place := tmp_path / "work").mkdir()
    cases = [target.spoil(dice.choice(examples), dice) for _ in range(300)]
    for case in [*examples, b"", *cases]:
        try:
            target.read(case, place)
            read += 1
        except target.refusals:
            refused += 1
    assert read
    assert refused


def test_a_reader_that_ends_badly_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", shutil.which("false"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert "status 1" in fuzz("keys", 1, ["-runs=1"]).fault
