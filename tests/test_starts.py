"""Starts that end well: what can never be served is told once, and what goes on failing in few lines."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inferq.child import Child
from shared.disturbance import Disturbance
from tests.commands import inferq
from tests.stack import Stack
from tests.tiny import TINY, split


def test_a_worker_ends_where_it_would_be_in_vain(empty: Stack, tmp_path: Path) -> None:
    (tmp_path / "page.gguf").write_text("<!DOCTYPE html><html>")
    (folder := tmp_path / "öl und 模型").mkdir()
    split(TINY, folder / "tiny.gguf")
    first, second = sorted(folder.glob("*.gguf"))[:2]
    second.unlink()
    for path in folder.iterdir():  # nobody writes there any more
        os.utime(path, (1_000_000_000, 1_000_000_000))
    for file, words in ((tmp_path / "page.gguf", "a web page"), (first, f"in its folder: {second.name}")):
        ended = inferq("worker", file, INFERQ_REDIS_URL=f"redis://{empty.host}:{empty.redis_port}/0")
        assert (ended.returncode, words in ended.stderr.splitlines()[-1]) == (2, True), ended.stderr


def test_a_child_that_says_so_is_not_started_again(caplog: pytest.LogCaptureFixture) -> None:
    spawned = []

    def spawn() -> subprocess.Popen[bytes]:
        spawned.append(1)
        return subprocess.Popen([sys.executable, "-c", "raise SystemExit(2)"], start_new_session=True)

    child = Child("worker m", spawn)
    child.tend()
    deadline = time.monotonic() + 20
    while not child.refused and time.monotonic() < deadline:
        child.tend()
        time.sleep(0.02)
    assert child.refused
    child.tend()
    assert len(spawned) == 1
    assert "cannot run as it is" in caplog.text


class TestDisturbance:
    def test_it_is_told_when_it_begins_now_and_then_and_at_its_end(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 1000.0
        monkeypatch.setattr("shared.disturbance.time.monotonic", lambda: now)
        caplog.set_level("INFO")
        matter = Disturbance(logging.getLogger("inferq.test"), "redis")
        matter.end()
        for _ in range(150):
            matter.fail("gone")
            now += 1.0
        assert caplog.messages == [
            "redis: gone",
            "redis: gone (for 60 s, 61 failures)",
            "redis: gone (for 120 s, 121 failures)",
        ]
        matter.end()
        matter.end()
        assert caplog.messages[3:] == ["redis works again, after 150 failures"]

    def test_what_comes_and_goes_fills_no_log(
        self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 1000.0
        monkeypatch.setattr("shared.disturbance.time.monotonic", lambda: now)
        caplog.set_level("INFO")
        matter = Disturbance(logging.getLogger("inferq.test"), "redis")
        for _ in range(600):
            matter.fail("gone")
            matter.end()
            now += 0.1
        assert len(caplog.messages) == 2
