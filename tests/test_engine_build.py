"""`inferq engine`: what is refused before anything is compiled, and what is kept. `make engine` compiles one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from inferq.engine import build as building
from inferq.errors import StartError
from shared import progress
from shared.file_lock import FileLock
from tests.commands import environment, inferq
from tests.stack import gone, wait_for
from tests.tiny import TINY
from worker.engines import own_builds


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def made(text: str = "#!/bin/sh\nexit 3\n", version: str = building.VERSION) -> Path:
    program = own_builds.folder() / version / own_builds.PROGRAM
    program.parent.mkdir(parents=True)
    program.write_text(text)
    program.chmod(0o755)
    return program


def programs(folder: Path, *names: str) -> str:
    """A path on which there are these, which do nothing."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return str(folder)


def test_what_is_missing_is_told_before_anything_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", programs(tmp_path / "none"))
    with pytest.raises(StartError, match=r"no C\+\+ compiler"):
        building.build(grammars=True)
    monkeypatch.setenv("PATH", programs(tmp_path / "some", "c++", "git"))
    with pytest.raises(StartError, match=r"no cargo, which.*--without-grammars"):
        building.build(grammars=True)
    monkeypatch.setattr(building, "ROOM", 1 << 60)
    with pytest.raises(StartError, match="GB are free"):
        building.build(grammars=False)
    assert not own_builds.folder().exists()


def test_sources_that_cannot_be_fetched_are_told_with_the_words_of_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", programs(tmp_path / "some", "c++"))
    for name, value in (("PIP_NO_INDEX", "1"), ("PIP_FIND_LINKS", str(tmp_path))):
        monkeypatch.setenv(name, value)
    with pytest.raises(StartError, match=r"(?s)ended with status 1; .*No matching distribution"):
        building.build(grammars=False)
    assert own_builds.builds() == []


def begun(ninja: str) -> Path:
    """A build whose sources and tools are there, with a stand-in for ninja; its folder."""
    work = own_builds.folder() / building.VERSION / "build"
    (work / "source/llama/vendor/llama.cpp").mkdir(parents=True)
    (work / "tools/bin").mkdir(parents=True)
    for name, text in (("cmake", "exit 0"), ("ninja", ninja)):
        (tool := work / "tools/bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        tool.chmod(0o755)
    return work


def test_a_full_disk_is_told_in_a_line() -> None:
    begun("echo 'fatal error: error writing to /tmp/x.s: No space left on device'; exit 1")
    with pytest.raises(StartError, match=r"disk of .* is full; make room and build again.*$"):
        building.build(grammars=False)


def test_what_a_compiler_leaves_running_keeps_nobody_waiting() -> None:
    """As a server that remembers what was compiled: it has what the compiler wrote to."""
    work = begun("echo '[1/2] one of them'; sleep 1000 & echo $! > $0.pid; exit 1")
    with pytest.raises(StartError, match=r"(?s)ended with status 1; .*one of them"):
        building.build(grammars=False)
    left = int((work / "tools/bin/ninja.pid").read_text())
    assert not gone(left, 0.2)
    os.kill(left, signal.SIGKILL)


def test_what_ctrl_c_ends_ends_whole_and_is_gone_on_with(tmp_path: Path) -> None:
    work = begun("echo '[1/2] one of them'; sleep 1000 & echo $! > $0.pid; wait")
    command = [sys.executable, "-P", "-m", "inferq", "engine", "build", "--without-grammars", "-m", str(TINY)]
    own = environment(XDG_CACHE_HOME=str(tmp_path / "cache"))
    with subprocess.Popen(command, env=own, stderr=subprocess.PIPE, text=True) as process:
        compiler = int(wait_for(lambda: text_of(work / "tools/bin/ninja.pid"), "a compiler"))
        process.send_signal(signal.SIGINT)
        assert "the next `inferq engine build` goes on" in process.communicate(timeout=30)[1]
    assert process.returncode == 128 + signal.SIGINT
    assert gone(compiler, 10)
    assert (work / "source").exists()


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_two_at_once_wait_for_each_other_and_say_so() -> None:
    begun("exit 1")
    told = threading.Event()
    with ExitStack() as other:
        other.enter_context(FileLock(own_builds.folder() / "build.lock"))

        def hear(step: progress.Step) -> None:
            if "another process builds" in str(step):
                other.close()
                told.set()

        with progress.listen(hear, 0.02), pytest.raises(StartError, match="ended with status 1"):
            building.build(grammars=False)
    assert told.is_set()


def test_one_that_does_not_answer_as_ours_is_not_kept(tmp_path: Path) -> None:
    program = made()
    done = inferq("engine", "build", "--without-grammars", "-m", TINY, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.returncode == 1
    assert "is no llama-server" in done.stderr
    assert not program.exists()


@pytest.mark.parametrize("wrong", ["missing.gguf", "spoiled.gguf"])
def test_a_model_that_cannot_be_served_is_told_before_and_takes_no_program_away(tmp_path: Path, wrong: str) -> None:
    program = made()
    (tmp_path / "spoiled.gguf").write_bytes(TINY.read_bytes()[:500])
    done = inferq(
        "engine", "build", "--without-grammars", "-m", tmp_path / wrong, XDG_CACHE_HOME=str(tmp_path / "cache")
    )
    assert (done.returncode, wrong in done.stderr) == (2, True), done.stderr
    assert program.exists()


def test_they_are_listed_and_removed(tmp_path: Path) -> None:
    old, new = made(version="0.3.1"), made(version=building.VERSION + own_builds.GRAMMARS)
    assert own_builds.latest() in {str(old), str(new)}
    cache = str(tmp_path / "cache")
    listed = inferq("engine", "list", XDG_CACHE_HOME=cache).stdout
    assert str(old) in listed
    assert str(new) in listed
    refused = inferq("engine", "rm", "../engines", XDG_CACHE_HOME=cache)
    assert (refused.returncode, "there are 0.3.1" in refused.stderr) == (2, True)
    assert inferq("engine", "rm", "0.3.1", XDG_CACHE_HOME=cache).returncode == 0
    assert own_builds.builds() == [new]
