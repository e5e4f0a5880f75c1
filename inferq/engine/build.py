"""Compiles llama.cpp's `llama-server` from the sdist of llama-cpp-python, whose hash is known, with cmake and ninja
from PyPI. What is left of a build that was ended is gone on with: each step's result comes into its place whole."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from inferq.errors import StartError
from inferq.leash import leash
from shared import folders, memory
from shared.cores import usable
from shared.file_lock import FileLock
from shared.progress import Step, step
from shared.whole_file import write_whole
from worker.engines.own_builds import GRAMMARS, PROGRAM, folder

VERSION = "0.3.36"
"""Of llama-cpp-python, whose sdist carries a llama.cpp of about the days of ours."""
NAME = "llama-cpp-python"
SOURCE = f"{NAME}=={VERSION} --hash=sha256:832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
TOOLS = ("cmake>=3.28,<5", "ninja>=1.11,<2")
ROOM = 3_000_000_000
"""Bytes of the disk: the sources, what is compiled of them, and the program."""
JOB = 1_500_000_000
"""Bytes of memory of a compiler, at worst."""
_NICE = "10"
_TAIL = 1500
_PERIOD = 0.5
"""Seconds between two looks how far it is."""
_PROGRESS = re.compile(rb"\[(\d+)/(\d+)\]")
_FLAGS = {
    "CMAKE_BUILD_TYPE": "Release",
    "BUILD_SHARED_LIBS": "OFF",
    "GGML_NATIVE": "ON",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_UI": "OFF",
    "LLAMA_OPENSSL": "OFF",
}
"""What the server needs for a socket, and no more."""


def build(*, grammars: bool, jobs: int = 0) -> Path:
    """The program, in a folder of its version; the one that is there where it is.

    With `grammars` it keeps to schemas, which takes cargo and git, that fetch llguidance. It is not tried yet. Raises
    StartError, which says what is missing.
    """
    home = folder() / (VERSION + GRAMMARS * grammars)
    if (made := home / PROGRAM).is_file():
        return made
    compiler = _check(grammars)
    try:
        folders.make_private(home)
        with ExitStack() as waiting:
            others = step("another process builds one, which is waited for")
            with FileLock(folder() / "build.lock", lambda: waiting.enter_context(others)):
                waiting.close()
                if not made.is_file():  # another process may have been quicker
                    _build(home, compiler, jobs or _jobs(), grammars=grammars)
    except OSError as exc:
        raise StartError(f"{home}: cannot be built: {exc.strerror or exc}") from exc
    return made


def _check(grammars: bool) -> str:
    """The C++ compiler. Raises StartError, before anything is fetched."""
    compiler = next((found for name in ("c++", "g++", "clang++") if (found := shutil.which(name))), None)
    if compiler is None:
        raise StartError("there is no C++ compiler: `apt-get install g++`, or `dnf install gcc-c++`, brings one")
    if grammars and (missing := [name for name in ("cargo", "git") if not shutil.which(name)]):
        raise StartError(
            f"there is no {' and no '.join(missing)}, which bring what keeps answers to schemas:"
            " --without-grammars builds an engine whose answers with a schema or a grammar fail"
        )
    there = folders.cache()
    while not there.exists():
        there = there.parent
    if (free := shutil.disk_usage(there).free) < ROOM:
        raise StartError(f"{there}: compiling takes {ROOM / 1e9:.0f} GB, and {free / 1e9:.1f} GB are free")
    return compiler


def _jobs() -> int:
    return max(1, min(usable(), memory.available() // JOB))


def _build(home: Path, compiler: str, jobs: int, *, grammars: bool) -> None:
    work = home / "build"
    work.mkdir(exist_ok=True)
    log = work / "log"
    source, tools = work / "source", work / "tools"
    pip = [sys.executable, "-P", "-m", "pip", "--no-input", "--disable-pip-version-check"]
    if not source.is_dir():
        (work / "requirements.txt").write_text(SOURCE + "\n")
        given = ["--requirement", str(work / "requirements.txt"), "--dest", str(work)]
        with step("its sources are being fetched"):
            _run([*pip, "download", "--no-deps", f"--no-binary={NAME}", "--require-hashes", *given], log)
        with step("its sources are being unpacked"):
            _unpack(next(work.glob("*.tar.gz")), source)
    if not tools.is_dir():
        with step("cmake and ninja are being fetched"):
            shutil.rmtree(part := work / "tools.part", ignore_errors=True)
            _run([*pip, "install", "--target", str(part), "--only-binary=:all:", *TOOLS], log)
            part.replace(tools)
    paths = {"PATH": f"{tools / 'bin'}:{os.environ.get('PATH', os.defpath)}", "PYTHONPATH": str(tools)}
    flags = {**_FLAGS, "LLAMA_LLGUIDANCE": "ON" if grammars else "OFF", "CMAKE_CXX_COMPILER": compiler}
    given = [f"-D{name}={value}" for name, value in flags.items()]
    (llama,) = source.glob("*/vendor/llama.cpp")
    out = work / "out"
    with step("the build is being prepared"):
        _run([str(tools / "bin/cmake"), "-S", str(llama), "-B", str(out), "-G", "Ninja", *given], log, paths)
    with step(f"it is being compiled by {jobs} at a time") as compiling:
        nice = [found, "-n", _NICE] if (found := shutil.which("nice")) else []
        _run([*nice, str(tools / "bin/ninja"), "-C", str(out), f"-j{jobs}", PROGRAM], log, paths, compiling)
    with write_whole(home / PROGRAM, mode=0o755) as part:
        shutil.copyfile(out / "bin" / PROGRAM, part)
    shutil.rmtree(work, ignore_errors=True)


def _unpack(archive: Path, target: Path) -> None:
    part = target.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    with tarfile.open(archive) as tar:
        tar.extractall(part, filter="data")
    part.replace(target)
    archive.unlink()


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    """Its status once it has ended, for which this waits a while."""
    with suppress(subprocess.TimeoutExpired):
        return process.wait(_PERIOD)
    return None


def _run(command: Sequence[str], log: Path, more: Mapping[str, str] | None = None, shown: Step | None = None) -> None:
    """What it says goes into the log. Raises StartError with the end of that; it does not outlive us."""
    with log.open("ab") as file, log.open("rb") as told:
        told.seek(0, os.SEEK_END)
        process = subprocess.Popen(
            leash([shutil.which(command[0]) or command[0], *command[1:]]),
            env={**os.environ, **(more or {})},
            stdin=subprocess.DEVNULL,
            stdout=file,  # no pipe, which what it leaves behind, as a server of compilers, could keep open for ever
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us, who end it
        )
        try:
            while (status := _wait(process)) is None:
                for line in told:
                    if shown and (found := _PROGRESS.match(line)):
                        shown.what = f"it is being compiled, {int(found[1])} of {int(found[2])} files"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)  # with what it has begun itself
                process.wait()
    if status:
        tail = log.read_bytes()[-_TAIL:].decode(errors="replace")
        if os.strerror(errno.ENOSPC) in tail:
            where = f"{log.parent} or of {tempfile.gettempdir()}"
            raise StartError(f"the disk of {where} is full; make room and build again, which goes on from here")
        raise StartError(f"{command[0]} ended with status {status}; {log} ends with\n{tail}")
