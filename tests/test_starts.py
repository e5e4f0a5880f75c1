"""Starts that end well: what can never be served is told once, and what goes on failing in few lines."""

from __future__ import annotations

import logging
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inferq.child import Child
from inferq.errors import exit_status
from shared.disturbance import Disturbance
from shared.errors import ModelFileError
from shared.misfits import EngineMisfit
from tests.commands import inferq
from tests.fixtures.make_legacy import write
from tests.stack import Stack
from tests.tiny import TINY, split
from worker.engines.host import EngineHost
from worker.formats.repack import provide_gguf


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


def test_a_processor_without_the_instructions_is_told_once() -> None:
    with pytest.raises(
        EngineMisfit, match=r"this CPU has not the instructions .AVX2. .* INFERQ_LLAMA_SERVER"
    ) as refused:
        EngineHost("tests.fixtures.old_cpu_host", "old", {})
    assert refused.value.permanent


def test_a_disk_that_is_full_is_told_and_may_have_room_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    old = write("llama", "F16", tmp_path / "old.bin")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(ModelFileError, match=r"cannot be repacked into .*: File too large") as refused:
            provide_gguf(old)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert exit_status(refused.value) == 1  # else nobody would start it again
    assert provide_gguf(old).is_file()


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
