"""What a model is said to take of the memory is what it takes, and nothing is killed for want of it.

Run by `make memory`; `make footprints` tries as many combinations as one likes. Those are made in control groups, by a
worker's engine with its host, which read prompts that fill the context where it is small.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.catalogue import Model
from shared.config import Config
from shared.memory import MemoryBudget
from tests.load.footprints import NEAR, draw, start, try_out
from tests.load.kinds import LONG, llama, make_all
from tests.memory_group import MemoryGroup, why_not
from tests.tiny import TINY
from worker.memory import DoesNotFit, fit_context

CALCULATED, MEASURED = 1000, 8
GIB = 1 << 30

pytestmark = pytest.mark.skipif(bool(why := why_not()), reason=why)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return make_all(tmp_path_factory.mktemp("kinds"))


def test_a_context_of_a_million_tokens_in_a_gigabyte(tmp_path: Path) -> None:
    path = llama(tmp_path / "long.gguf", 128, 1, 1, 1024)
    given = {"model": {"path": path, "engine": "llama.cpp"}, "fills": LONG, "slots": 1, "batch_size": 128}
    with MemoryGroup(GIB) as group:
        told = start(group, tmp_path, given)
        assert 1024 <= told["context"] < LONG // 10
        assert told["read"] == told["context"] - 4
        assert told["calculated"] > GIB * 0.8
        assert abs(told["calculated"] - group.most) < NEAR * told["calculated"], group.most
        assert group.killed == 0


def test_weights_that_do_not_fit_are_refused_in_words(tmp_path: Path) -> None:
    path = llama(tmp_path / "heavy.gguf", 32, 1024, 1024, 64, context=4096)  # 512 MiB of F16
    given = {"model": {"path": path, "engine": "llama.cpp"}, "fills": 100, "slots": 1, "batch_size": 128}
    with MemoryGroup(GIB // 2) as group:
        told = start(group, tmp_path, given)
        assert "tried does not fit: with a context of 1,024 tokens it needs" in told["refused"]
        assert "MiB free of 512 MiB (of this control group)" in told["refused"]
        assert "What helps: a smaller model or quantisation, or more memory" in told["refused"]
        assert group.killed == 0


def test_a_prompt_for_whose_scoring_there_is_no_room_is_refused_in_words(tmp_path: Path) -> None:
    path = llama(tmp_path / "wide.gguf", 8, 1, 1, 512)
    given = {"model": {"path": path, "engine": "llama.cpp"}, "fills": 1000, "slots": 1, "scored": True}
    with MemoryGroup(GIB // 4) as group:  # nearly all of it is for the context
        told = start(group, tmp_path, {**given, "batch_size": 128})
        assert told["unscored"].startswith("NoRoomToScore: scoring needs ")
        assert group.killed == 0
    with MemoryGroup(GIB // 2) as group:
        told = start(group, tmp_path, {**given, "batch_size": 128, "context": 2048})
        assert told["scored"] == 299
        assert group.killed == 0


def test_a_host_that_was_killed_for_want_of_memory_says_so_and_waits_for_it(tmp_path: Path) -> None:
    with MemoryGroup(300 << 20) as group:
        command = [sys.executable, "-m", "tests.load.starved", str(group.entry), str(TINY)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    assert (told["before"], told["after"], told["killed"]) == ("", "", 1)
    for words in (told["trouble"], told["meanwhile"]):
        assert re.search(r"it was killed for want of memory: it takes [\d.]+ MiB, and there are [\d.]+ MiB free", words)
    assert "it was killed for want of memory" in ran.stderr  # so the log says it, too


def test_a_thousand_calculations(kinds: dict[str, dict[str, Any]]) -> None:
    """With all that is there, no more is taken; one token of context more than what fits would be too much."""
    draws, outcomes = random.Random(1), {"whole": 0, "part": 0, "refused": 0}
    for _ in range(CALCULATED):
        path = kinds[draws.choice(("wide", "deep", "sliding", "hybrid", "latent"))]["path"]
        model = Model("tried", "", path, "llama.cpp", None)
        context = draws.choice((0, 0, 256, 1000, 4096, 40_000, 300_000))
        config = Config(slots=draws.choice((1, 4, 16)), batch_size=draws.choice((32, 512)), context=context)
        there = MemoryBudget(int(2 ** draws.uniform(26, 33)), 0, "drawn")
        try:
            fitted = fit_context(model, config, there)
        except DoesNotFit:
            outcomes["refused"] += 1
            continue
        assert fitted.footprint.total <= there.free
        if fitted.said:
            assert not context
            more = fit_context(model, Config(slots=config.slots, batch_size=config.batch_size), BOUNDLESS)
            assert more.footprint.total > there.free
        outcomes["part" if fitted.said else "whole"] += 1
    assert all(count > CALCULATED // 20 for count in outcomes.values()), outcomes


BOUNDLESS = MemoryBudget(1 << 60, 0, "boundless")


@pytest.mark.parametrize("number", range(MEASURED))
def test_what_is_calculated_is_what_is_measured(kinds: dict[str, dict[str, Any]], tmp_path: Path, number: int) -> None:
    """In a group with a bound, of which a worker takes what is left of it for its context."""
    told = try_out(kinds, tmp_path, draw(kinds, f"16 {number}"))
    assert not told["wrong"], told
