"""Models of the Hugging Face hub, with a server on this machine that plays the hub."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.commands import inferq
from tests.tiny import TINY
from tests.up import up

COMMIT = "1234567890abcdef1234567890abcdef12345678"
REPOSITORY = "org/tiny"
FILE = "sub/tiny.gguf"


class Hub(BaseHTTPRequestHandler):
    """What the hub says to huggingface_hub: HEAD for ETag, commit and size, then GET, from the middle if need be."""

    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub = self.server
        if "/resolve/" in self.path:  # else it is about the name by which huggingface_hub calls itself
            hub.requests.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
        match = re.fullmatch(r"/(org/[\w-]+)/resolve/([^/]+)/(.+)", self.path)
        token = self.headers.get("Authorization")
        if match is None or match[1] not in (REPOSITORY, "org/private", "org/gated"):
            return self._refuse(404, "RepoNotFound")
        if match[1] == "org/private" and token != "Bearer right":
            return self._refuse(401, "")
        if match[1] == "org/gated":
            return self._refuse(403, "GatedRepo")
        if match[2] not in ("main", "v1"):
            return self._refuse(404, "RevisionNotFound")
        if match[3] != FILE:
            return self._refuse(404, "EntryNotFound")
        start = int(match[1]) if (match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))) else 0
        part = hub.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(hub.content).hexdigest()}"')
        self.send_header("X-Repo-Commit", hub.commit)
        self.send_header("Content-Length", str(len(part)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(hub.content) - 1}/{len(hub.content)}")
        self.end_headers()
        if body and hub.breaks:
            hub.breaks -= 1
            self.wfile.write(part[: len(part) // 2])
            self.close_connection = True
        elif body:
            self.wfile.write(part)
        return None

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class HubServer(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hub)
        self.requests: list[str] = []
        self.content, self.commit = TINY.read_bytes(), COMMIT
        self.breaks = 0
        """How many downloads break off in the middle."""


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def environ(hub: HubServer, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "models.toml").write_text(
        "".join(
            f'[[model]]\nid = "{name}"\nsource = "hf:{source}"\n'
            for name, source in {
                "tiny": f"{REPOSITORY}/{FILE}",
                "tagged": f"{REPOSITORY}/{FILE}@v1",
                "nowhere": "org/nowhere/a.gguf",
                "private": f"org/private/{FILE}",
                "gated": f"org/gated/{FILE}",
                "version": f"{REPOSITORY}/{FILE}@v9",
                "entry": f"{REPOSITORY}/b.gguf",
            }.items()
        )
        + f'[[model]]\nid = "vouched"\nsource = "hf:{REPOSITORY}/{FILE}"\nsha256 = "{"0" * 64}"\n'
    )
    return {
        "INFERQ_MODELS": str(tmp_path / "models.toml"),
        "HF_HOME": str(tmp_path / "hf"),
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_TOKEN": "",
    }


def test_it_is_fetched_once_and_asked_for_again_by_pull(hub: HubServer, environ: dict[str, str]) -> None:
    pulled = inferq("pull", "tiny", **environ)
    assert pulled.returncode == 0, pulled.stderr
    file = Path(pulled.stdout.strip())
    assert file.read_bytes() == TINY.read_bytes()
    assert Path(environ["HF_HOME"]) in file.parents
    path = f"/{REPOSITORY}/resolve/main/{FILE}"
    assert hub.requests == [f"HEAD {path}", f"GET {path}"]
    assert str(file) in inferq("models", **environ).stdout
    assert inferq("pull", "tiny", **environ).stdout == pulled.stdout
    assert hub.requests[2:] == [f"HEAD {path}"]
    hub.content, hub.commit = TINY.read_bytes() + b"newer", COMMIT[::-1]
    assert Path(inferq("pull", "tiny", **environ).stdout.strip()).read_bytes() == hub.content


def test_a_revision(hub: HubServer, environ: dict[str, str]) -> None:
    assert inferq("pull", "tagged", **environ).returncode == 0
    assert hub.requests[0] == f"HEAD /{REPOSITORY}/resolve/v1/{FILE}"


def test_a_download_that_breaks_is_taken_up_where_it_broke(hub: HubServer, environ: dict[str, str]) -> None:
    hub.content, hub.breaks = TINY.read_bytes() + bytes(24 << 20), 1
    pulled = inferq("pull", "tiny", **environ)
    assert pulled.returncode == 0, pulled.stderr
    assert Path(pulled.stdout.strip()).read_bytes() == hub.content
    kept = 10 << 20  # it writes what it gets in blocks of this size
    assert hub.requests[-1] == f"GET /{REPOSITORY}/resolve/main/{FILE} bytes={kept}-"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nowhere", "the hub has no org/nowhere, or it is private; then set HF_TOKEN"),
        ("private", "HF_TOKEN"),
        ("gated", "org/gated is gated; accept its terms at http"),
        ("version", "org/tiny has no revision 'v9'"),
        ("entry", "org/tiny has no file 'b.gguf' in revision 'main'"),
    ],
)
def test_what_the_hub_refuses_is_told_in_words(environ: dict[str, str], model: str, words: str) -> None:
    pulled = inferq("pull", model, **environ)
    assert (pulled.returncode, pulled.stdout) == (1, "")
    last = pulled.stderr.splitlines()[-1]
    assert last.startswith(f"inferq: cannot fetch {model} from hf:org/")
    assert words in last
    assert "Traceback" not in pulled.stderr


def test_a_token_opens_what_is_private(environ: dict[str, str]) -> None:
    assert inferq("pull", "private", **{**environ, "HF_TOKEN": "right"}).returncode == 0
    wrong = inferq("pull", "private", **{**environ, "HF_TOKEN": "wrong", "HF_HOME": environ["HF_HOME"] + "2"})
    assert wrong.returncode == 1
    assert "HF_TOKEN" in wrong.stderr.splitlines()[-1]


def test_a_file_with_another_hash_is_refused(environ: dict[str, str]) -> None:
    pulled = inferq("pull", "vouched", **environ)
    assert pulled.returncode == 1
    assert f"has sha256 {hashlib.sha256(TINY.read_bytes()).hexdigest()}, expected 000" in pulled.stderr


def test_without_the_hub_the_cache_will_do(hub: HubServer, environ: dict[str, str]) -> None:
    offline = {**environ, "HF_HUB_OFFLINE": "1"}
    refused = inferq("pull", "tiny", **offline)
    assert refused.returncode == 1
    assert refused.stderr.endswith("it is not in the cache, and HF_HUB_OFFLINE forbids to ask the hub\n")
    assert inferq("pull", "tiny", **environ).returncode == 0
    asked = len(hub.requests)
    assert inferq("pull", "tiny", **offline).returncode == 0
    away = {**environ, "HF_ENDPOINT": "http://127.0.0.1:9"}
    assert inferq("pull", "tiny", **away).returncode == 0
    assert len(hub.requests) == asked


def test_up_fetches_it(hub: HubServer, environ: dict[str, str], tmp_path: Path) -> None:
    with up(tmp_path / "data", "tagged", "--port", "0", **environ) as started:
        body = {"model": "tagged", "prompt": "a", "max_tokens": 2}
        assert httpx.post(f"{started.ready()}/v1/completions", json=body, timeout=30).is_success
        assert "fetching tagged from hf:org/tiny/sub/tiny.gguf@v1" in started.log
    assert [request.split()[0] for request in hub.requests] == ["HEAD", "GET"]  # the worker finds it in the cache
