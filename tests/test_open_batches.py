"""Batches that have not ended are found, and a look for them costs the index little."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.archive.archive import Archive
from gateway.archive.thing import Thing, ThingKind
from gateway.batches.batch import OPEN
from gateway.batches.open_batches import OpenBatches
from shared.config import Config
from tests.stack import Stack

Begin = Callable[..., None]


@pytest.fixture(params=["", "redis"])
def archive(request: pytest.FixtureRequest, tmp_path: Path, stack: Stack) -> Archive:
    """On an index of each kind."""
    url = str(stack.settings["redis_url"])
    for key in stack.redis.scan_iter("iq:archive:*"):
        stack.redis.delete(key)
    return Archive.open(Config(archive=str(tmp_path), archive_index=request.param, redis_url=url))


def add(archive: Archive, name: str, owner: str = "ann", *, ended: bool = False) -> None:
    archive.keep(Thing(name, ThingKind.BATCH, owner, 1_800_000_000, facts={"a": 1} if ended else OPEN))


def finish(archive: Archive, name: str, owner: str = "ann") -> None:
    archive.change(owner, ThingKind.BATCH, name, lambda facts: {"a": 1})


def names(found: list[Thing]) -> list[str]:
    return [thing.id for thing in found]


def test_those_that_have_not_ended_are_found(archive: Archive) -> None:
    batches = OpenBatches(archive)
    assert batches.find() == []
    for number in range(5):
        add(archive, f"a{number}", ended=number < 2)
    add(archive, "b0", "bob")
    assert names(batches.find()) == ["a2", "a3", "a4", "b0"]
    finish(archive, "a2")
    finish(archive, "a4")
    finish(archive, "b0", "bob")
    assert names(batches.find()) == ["a3"]
    finish(archive, "a3")
    assert batches.find() == []
    add(archive, "a5")
    assert names(batches.find()) == ["a5"]
    for number in (3, 5):
        archive.remove("ann", ThingKind.BATCH, f"a{number}")
    add(archive, "a6")
    add(archive, "b1", "bob")
    assert names(batches.find()) == ["a6"], "as many as before are there"
    assert names(batches.find(sure=True)) == ["a6", "b1"]
    archive.remove("ann", ThingKind.BATCH, "a6")
    add(archive, "a7")
    assert names(batches.find(sure=True)) == ["a7", "b1"]
    assert names(OpenBatches(archive).find()) == ["a7", "b1"]


def test_a_look_asks_little(stack: Stack, archive: Archive) -> None:
    for number in range(300):
        add(archive, f"e{number}", ended=True)
    add(archive, "first")
    batches = OpenBatches(archive)
    batches.find()
    before = asked(stack)
    batches.find()
    if not asked(stack) - before:
        pytest.skip("its index is a file")
    assert asked(stack) - before <= 12, "there were no more than it and those after it to look at"
    finish(archive, "first")
    batches.find()
    before = asked(stack)
    batches.find()
    assert asked(stack) - before == 1


def asked(stack: Stack) -> int:
    """Commands that read, of clients and scripts."""
    told: Any = stack.redis.info("commandstats")
    return sum(int(told.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("hmget", "hget", "zrange"))
