"""The scripts against their model, in short; `make model` takes longer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model.pair import Pair
from tests.model.run import explore, steps_until_found


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    pair.close()


def test_scripts_and_model_are_alike(pair: Pair) -> None:
    explore(pair, seed=1, steps=500)
    assert pair.resent > 20
    assert pair.proxy.lost > 5


def test_a_fault_in_a_script_is_found(pair: Pair) -> None:
    pair.edits.fault = ("claim", "if not id then", "if true then")
    assert steps_until_found(pair, seed=1, steps=8000)


def test_nothing_is_lost_when_valkey_is_killed(pair: Pair) -> None:
    pair.do("hint", "m", "stranger")
    pair.restart_valkey(kill=True)
    pair.do("move", "m")
    assert pair.restarts == 1
