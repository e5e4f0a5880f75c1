"""`make clients` passes nothing that did not hold, and docs/clients.md says what was run."""

from __future__ import annotations

import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.clients import page, table
from tests.clients.run import judge, run_script, try_client
from tests.clients.table import INSIDE, Client
from tests.stack import Stack, running

CLIENTS = table.read()
OURS = Client("openai", ("openai==3",), "with_openai.py", "", "", seconds=60)
"""The client of the tests' own environment, which is there without an installation."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Echo, slow enough for an answer in pieces; no real model."""
    with running(tmp_path_factory.mktemp("clients")) as stack:
        stack.start_gateway(processes=1)
        stack.start_worker(echo_rate=200)
        yield stack


@contextmanager
def liar(port: int) -> Iterator[str]:
    """The URL of a proxy that puts another word into every answer."""

    class Liar(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as honest:
                threading.Thread(target=pass_on, args=(self.request, honest), daemon=True).start()
                pass_on(honest, self.request, b"word7")

    def pass_on(source: socket.socket, sink: socket.socket, hidden: bytes = b"\0") -> None:
        with suppress(OSError):
            while blob := source.recv(65_536):
                sink.sendall(blob.replace(hidden, b"wordX"))
            sink.shutdown(socket.SHUT_WR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Liar) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_checks_that_hold_pass_and_no_others(stack: Stack) -> None:
    outcome = run_script(OURS, Path(sys.prefix), stack.url)
    assert {name for name, _ in outcome.failed} == {"models", "a real model", "a real model in a form"}, outcome.failed
    assert len(outcome.planned) > 10
    assert outcome.broken


def test_a_word_that_is_wrong_is_seen(stack: Stack) -> None:
    with liar(stack.port) as url:
        outcome = run_script(OURS, Path(sys.prefix), url)
    missed = {name: why for name, why in outcome.failed if "wordX" in why}
    spoiled = {"chat", "stream", "stream helper", "async chat and stream", "completions", "parameters of other servers"}
    assert missed.keys() == spoiled | {"responses", "background", "what is stored", "files", "batches", "async batches"}


def test_what_a_script_does_not_reach_has_failed() -> None:
    lines: list[dict[str, Any]] = [
        {"planned": ["one", "two", "three"]},
        {"check": "one", "why": ""},
        {"check": "two", "why": "is wrong"},
    ]
    outcome = judge(OURS, lines)
    assert [name for name, _ in outcome.failed] == ["two", "three"]
    assert outcome.result == "1 of 3"
    assert judge(OURS, []).broken


def test_a_script_that_dies_at_once_has_failed(tmp_path: Path) -> None:
    outcome = run_script(Client("x", ("x==1",), "no_such_script.py", "", ""), Path(sys.prefix), "http://127.0.0.1:9")
    assert outcome.broken
    assert "no_such_script.py" in outcome.failed[0][1]


@pytest.mark.parametrize(("script", "why"), [("a.py", "cannot be installed"), ("a.mjs", "no npm")])
def test_what_cannot_be_installed_is_not_run(
    script: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = try_client(Client("x", ("x @ file:///nowhere/x-1.tar.gz",), script, "", "2026-01-01"), "")
    assert why in outcome.result
    assert "not run" in outcome.result
    assert not outcome.broken
    assert not (tmp_path / "inferq/clients/x").exists()


def test_every_client_is_pinned_and_has_a_script() -> None:
    assert len(CLIENTS) > 10
    for client in CLIENTS.values():
        assert (INSIDE / client.script).exists()
        assert client.version[0].isdigit(), client.packages
        assert client.configure.strip()
    assert not {file.name for file in INSIDE.glob("with_*")} - {client.script for client in CLIENTS.values()}


def test_the_page_says_what_was_run() -> None:
    text = page.PAGE.read_text("utf-8")
    rows = page.rows(text)
    assert rows.keys() == CLIENTS.keys()
    assert not [name for name, client in CLIENTS.items() if f"`{client.packages[0]}`" not in rows[name]]
    assert page.write(text, CLIENTS, []) == text, "make clients ARGS=--write-docs writes it"
