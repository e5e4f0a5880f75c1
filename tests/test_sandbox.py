"""What a host can reach that a hostile file has taken over: a process that tries, within the sandbox of a real one."""

from __future__ import annotations

import contextlib
import json
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from worker.engines.host import EngineHost
from worker.engines.sandbox import Sandbox

ROOT = Path(__file__).resolve().parent.parent
SECRET = "redis://:password@somewhere"
FILES = (
    "read another file",
    "read it by the link",
    "list a folder",
    "write another file",
    "write beside its model",
    "see its worker's environment",
    "see its worker's memory",
)
CALLS = (
    "connect by TCP",
    "connect by TCP over IPv6",
    "send by UDP",
    "listen",
    "connect to a unix socket",
    "make a datagram socket",
    "run a program",
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("model")
    (folder / "model.bin").write_text("a model")
    (folder / "secret").write_text("a secret")
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        short = stack.enter_context(tempfile.TemporaryDirectory(prefix="t-", dir="/tmp"))  # the path of a socket
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("INFERQ_REDIS_URL", SECRET)
        patch.setenv("HF_TOKEN", SECRET)
        port = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        neighbour = stack.enter_context(socket.socket(socket.AF_UNIX))
        neighbour.bind(f"{short}/neighbour")
        neighbour.listen()
        parameters = {
            "reads": [str(folder / "model.bin")],
            "secret": str(folder / "secret"),
            "port": port.getsockname()[1],
            "neighbour": f"{short}/neighbour",
        }
        host = EngineHost("tests.fixtures.curious_host", "curious", parameters)
        with contextlib.closing(host):
            connection, _ = host.connect()
            with connection, connection.makefile("rb") as answer:
                yield {**json.load(answer), "missing": host.missing, "secret": (folder / "secret").read_text()}


def test_it_finds_what_it_needs(report: dict[str, Any]) -> None:
    for needed in ("read its model", "write in its folder", "make a link to it"):
        assert report[needed] == "done"


def test_it_finds_no_password_in_its_environment(report: dict[str, Any]) -> None:
    assert report["environment"]["PYTHONPATH"] == str(ROOT)
    assert SECRET not in report["environment"].values()
    assert report["core"] == [0, 0]


@pytest.mark.parametrize("attempt", FILES)
def test_it_finds_no_files_but_its_own(report: dict[str, Any], attempt: str) -> None:
    if "Landlock" in report["missing"].split(", "):
        pytest.skip(f"this system lacks {report['missing']}")
    assert report[attempt] == "PermissionError"
    assert report["secret"] == "a secret"


@pytest.mark.parametrize("attempt", CALLS)
def test_it_finds_no_network_and_no_program(report: dict[str, Any], attempt: str) -> None:
    if "seccomp" in report["missing"].split(", "):
        pytest.skip(f"this system lacks {report['missing']}")
    assert report[attempt] == "PermissionError"


def test_it_does_not_reach_its_worker(report: dict[str, Any]) -> None:
    if report["missing"]:
        pytest.skip(f"this system lacks {report['missing']}")
    assert report["hurt its worker"] == "PermissionError"


def test_a_system_without_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "unheard")
    sandbox = Sandbox()
    sandbox.refuse_calls()
    assert sandbox.missing == ["seccomp"]
