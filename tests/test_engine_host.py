"""Faults of an engine's host and of its worker that are no fault of a job: real processes, really hurt."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import HostDied
from tests.stack import wait_for
from tests.tiny import TINY
from worker.engines.host import EngineHost
from worker.engines.llama_cpp_server import LlamaServer

ROOT = Path(__file__).resolve().parent.parent
WORKER = """
import os, resource, signal, sys, time
from pathlib import Path
from shared.catalogue import Model
from shared.config import Config
from shared.errors import InferqError
from shared.protocol import Completion, Sampling
from tests.answers import Running
from worker.engines.llama_cpp import LlamaCppEngine

engine = LlamaCppEngine(Model("tiny", "", Path(sys.argv[1]), "llama.cpp", None), Config(slots=1, threads=1))

def tell(*words):
    print(*words, flush=True)

def ask():
    try:
        list(engine.run(Completion("tiny", ("a",), Sampling(seed=1, max_tokens=4)), Running()))
    except InferqError as exc:
        return f"{type(exc).__name__}: {exc}".splitlines()[0]
    return "answered"

def until(condition):
    end = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)

def limit_files(most):
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

tell(engine.host_pid, engine._host.directory)
"""


@contextlib.contextmanager
def worker(script: str, model: Path, tmp: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has loaded the model and goes on with `script`; its first line is the host's pid and folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp)}
    command = [sys.executable, "-P", "-c", WORKER + script, str(model)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    shutil.copy(TINY, path)
    return path


@pytest.fixture
def private(short: Path) -> Path:
    return short


def test_a_worker_that_was_frozen_does_not_take_its_absence_for_the_hosts_silence(model: Path, private: Path) -> None:
    script = """
from worker.engines import pulse
pulse.LEAST = 6.0
sys.stdin.readline()
tell(ask())
tell(engine.host_pid)
engine.close()
"""
    with worker(script, model, private) as process:
        host = int(line(process).split()[0])
        os.kill(host, signal.SIGSTOP)
        tell(process)
        time.sleep(1)  # the question is asked, and waits
        process.send_signal(signal.SIGSTOP)
        time.sleep(8)  # more than a host may be silent there
        process.send_signal(signal.SIGCONT)
        time.sleep(1)
        os.kill(host, signal.SIGCONT)
        assert line(process) == "answered"
        assert int(line(process)) == host


def test_a_worker_out_of_files_blames_no_job_and_starts_its_host_when_it_can(model: Path, private: Path) -> None:
    script = """
before = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
limit_files(1)  # which is in use
tell(ask())
os.kill(engine.host_pid, signal.SIGKILL)
until(lambda: engine.trouble)
tell(engine.trouble)
tell(ask())
limit_files(before)
until(lambda: not engine.trouble)
tell(ask())
engine.close()
"""
    with worker(script, model, private) as process:
        line(process)
        assert line(process).startswith("HostUnavailable: the worker cannot open a socket: ")
        assert "Too many open files" in line(process)
        told = line(process)
        assert told.startswith("HostUnavailable: ")
        assert "Too many open files" in told
        assert line(process) == "answered"
        assert process.wait(20) == 0


@pytest.mark.parametrize("lost", ["socket", "folder"])
def test_a_host_that_cannot_be_reached_is_replaced_and_no_job_pays(model: Path, private: Path, lost: str) -> None:
    with worker("sys.stdin.readline(); tell(ask()); tell(engine.host_pid); engine.close()", model, private) as process:
        host, _, folder = line(process).partition(" ")
        if lost == "socket":
            (Path(folder) / "engine.sock").unlink()
        else:
            shutil.rmtree(folder)
        tell(process)
        assert line(process) == "answered"
        assert line(process) != host
        assert process.wait(20) == 0
    assert not list(private.iterdir())


def test_the_folder_of_a_killed_worker_goes_with_the_next_start(model: Path, private: Path) -> None:
    waits = "sys.stdin.readline()"
    with worker(waits, model, private) as first:
        lost = line(first)
        with worker(waits, model, private) as second:
            kept = line(second)
            first.kill()
            first.wait()
            assert len(list(private.iterdir())) == 2
            wait_for(lambda: not Path(f"/proc/{lost.split()[0]}").exists(), "the end of the host")
            with worker(waits, model, private) as third:
                new = line(third)
                assert {str(path) for path in private.iterdir()} == {kept.split()[1], new.split()[1]}


def test_the_log_of_a_host_stays_short(model: Path, private: Path) -> None:
    with worker("sys.stdin.readline()", model, private):
        [folder] = wait_for(lambda: list(private.glob("*/engine.sock")), "the start")
        log = folder.parent / "log"
        with log.open("ab") as file:
            for _ in range(3):
                file.write(b"a line of the log\n" * 100_000 + b"the end\n")
                file.flush()
                wait_for(lambda: log.stat().st_size < 1 << 20, "the cut")
                assert log.read_bytes().endswith(b"log\nthe end\n")


def test_an_event_that_ends_within_a_character_is_the_hosts_death(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with contextlib.closing(EngineHost("tests.fixtures.cut_host", "cut", {})) as host:
        server = LlamaServer(host, "key")
        with pytest.raises(HostDied, match="ended with status 0"):
            list(server.stream("/completion", {}))
