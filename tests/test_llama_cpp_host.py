"""The host of the llama.cpp engine: how it begins and ends, and what it leaves."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from shared.config import Config
from shared.errors import EngineError, ModelFileError, ModelLoadError
from tests.answers import Running, deltas, finish, host_of, run, tokens
from tests.stack import gone
from tests.tiny import TINY, greedy, loaded, tiny
from worker.engines.llama_cpp import LlamaCppEngine


def test_a_killed_host_fails_its_runs_and_is_started_again() -> None:
    with loaded(slots=2) as engine:
        before = host_of(engine)
        runs = [engine.run(greedy("a"), Running()) for _ in range(2)]
        for events in runs:
            next(events)
        os.kill(before, signal.SIGSTOP)  # so that neither can end before the kill
        os.kill(before, signal.SIGKILL)
        for events in runs:
            with pytest.raises(EngineError, match=r"(?s)killed by SIGKILL; its log ends:.*loading .*tiny-llama"):
                list(events)
        assert finish(run(engine, greedy("a", 5)))[1].usage.completion_tokens == 5
        assert host_of(engine) != before


def test_a_truncated_file_is_refused_without_a_host(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(TINY.read_bytes()[:-1000])
    with pytest.raises(ModelFileError, match="truncated"):
        LlamaCppEngine(tiny(path), Config())


def test_what_llama_cpp_refuses_is_told_with_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(private))
    path = tmp_path / "model.gguf"
    path.write_bytes(TINY.read_bytes().replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0lxxma", 1))
    with pytest.raises(ModelLoadError, match=r"(?s)ended with status 1 .*its log ends:.*lxxma"):
        LlamaCppEngine(tiny(path), Config())
    assert not list(private.iterdir())


def test_closing_ends_the_host_and_removes_its_directory(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(short))
    with loaded() as engine:
        (directory,) = short.iterdir()
        assert directory.stat().st_mode & 0o777 == 0o700
        pid = host_of(engine)
    assert gone(pid, within=0.1)
    assert not list(short.iterdir())
    with pytest.raises(EngineError, match="closed"):
        run(engine, greedy("a", 1))


def test_the_host_leaves_stopping_to_the_worker(single: LlamaCppEngine) -> None:
    before = host_of(single)
    events = single.run(greedy("a", 20), Running())
    next(events)
    for stop in (signal.SIGINT, signal.SIGTERM):  # as Ctrl-C and `systemctl stop` send them to the whole group
        os.kill(before, stop)
    assert finish(list(events))[1].usage.completion_tokens == 20
    assert host_of(single) == before


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads the title from /proc")
def test_the_host_is_named_after_the_model(single: LlamaCppEngine) -> None:
    assert Path(f"/proc/{host_of(single)}/cmdline").read_bytes().startswith(b"inferq engine tiny\0")


def test_it_loads_in_a_thread_that_ends_before_it_is_used() -> None:
    def load() -> None:
        engines.append(LlamaCppEngine(tiny(), Config(slots=1, threads=1)))

    engines: list[LlamaCppEngine] = []
    thread = threading.Thread(target=load)
    thread.start()
    thread.join(60)
    time.sleep(1.2)  # a lifeline tied to that thread would have ended the host by now
    with contextlib.closing(engines[0]) as engine:
        before = host_of(engine)
        assert finish(run(engine, greedy("a", 1)))[1].usage.completion_tokens == 1
        assert host_of(engine) == before


PARENT = """
import sys, time
from pathlib import Path
from shared.catalogue import Model
from shared.config import Config
from worker.engines.llama_cpp import LlamaCppEngine
model = Model("tiny", "", Path(sys.argv[1]), "llama.cpp", None)
print(LlamaCppEngine(model, Config(slots=1, threads=1)).host_pid, flush=True)
time.sleep(60)
"""


def test_the_host_ends_with_its_parent(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", PARENT, str(TINY)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}  # nobody is left to remove the directory
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        host = int(parent.stdout.readline())
        parent.kill()
    assert gone(host, within=3)


def test_an_answer_goes_on_though_the_file_has_gone(tmp_path: Path) -> None:
    """It was read once more then, for what its tokens are."""
    shutil.copy(TINY, path := tmp_path / "tiny.gguf")
    task = replace(greedy("Hello", 12), token_ids=True)
    with loaded(path) as engine:
        begun = deltas(run(engine, task))
    with loaded(path) as engine:
        path.unlink()
        rest = tokens(run(engine, task, begun[:5]))
    assert [token for delta in begun[:5] for token in delta.tokens] + rest == tokens(begun)
