"""A host that dies, hangs or does not come back, whatever the engine: see also `test_engine_host.py`."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from shared.errors import HostDied, HostUnavailable
from tests.answers import Running, host_of, run
from tests.engines import WITH_MODEL, Entry, completion, load, named, serves
from tests.stack import wait_for
from worker.engines import host, pulse


@pytest.mark.parametrize("entry", WITH_MODEL, ids=named)
def test_a_host_that_dies_is_missed_at_once_and_replaced(entry: Entry, tmp_path: Path) -> None:
    with closing(load(entry, tmp_path)) as engine:
        before = host_of(engine)
        events = engine.run(completion(max_tokens=None), Running())
        next(events)
        os.kill(before, signal.SIGSTOP)  # so that it cannot end before the kill
        os.kill(before, signal.SIGKILL)
        with pytest.raises(HostDied, match=r"(?s)killed by SIGKILL; its log ends:.*loading .*model\.bin"):
            list(events)
        assert serves(engine)
        assert host_of(engine) != before


@pytest.mark.parametrize("entry", WITH_MODEL, ids=named)
def test_a_host_that_hangs_is_ended_and_replaced(entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its standing still, which is known before its silence is: however busy the machine is."""
    monkeypatch.setattr(pulse, "STILL", 3.0)
    with closing(load(entry, tmp_path)) as engine:
        before = host_of(engine)
        os.kill(before, signal.SIGSTOP)
        with pytest.raises(HostDied, match=r"was silent for [4-9] s while it had work, and was killed; its log ends:"):
            run(engine, completion())
        assert serves(engine)
        assert host_of(engine) != before


@pytest.mark.parametrize("entry", WITH_MODEL, ids=named)
def test_a_host_that_does_not_come_back_is_no_fault_of_the_job(
    entry: Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "_LONGEST", 0.5)  # between two tries
    with closing(load(entry, tmp_path)) as engine:
        path, away = tmp_path / "model.bin", tmp_path / "away"
        path.rename(away)
        os.kill(host_of(engine), signal.SIGKILL)
        wait_for(lambda: engine.trouble, "the failed start", 60)
        for _ in range(2):
            with pytest.raises(HostUnavailable, match="while it loaded the model; its log ends:"):
                run(engine, completion())
            assert "while it loaded the model" in engine.trouble
        away.rename(path)
        wait_for(lambda: not engine.trouble, "its return", 90)
        assert serves(engine)
