"""A server on this machine that plays the Hugging Face hub, and does what hubs, proxies and links may do to a file."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.tiny import TINY

COMMIT = "1234567890abcdef1234567890abcdef12345678"
REPOSITORY = "org/tiny"
FILE = "sub/tiny.gguf"
_PIECE = 1 << 16


class Hub(BaseHTTPRequestHandler):
    """What the hub says to huggingface_hub: HEAD for ETag, commit and size, then GET, from the middle if need be; and
    what is in a repository.
    """

    protocol_version = "HTTP/1.1"
    server: HubServer

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub = self.server
        if "/resolve/" in self.path or "/api/models" in self.path:  # else it is about huggingface_hub's name for itself
            hub.requests.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
        if hub.hangs:
            hub.ended.wait(30)
        if hub.status:
            return self._refuse(hub.status, "", {"Retry-After": "7"})
        listed = re.fullmatch(r"/api/models/(org/[\w-]+)/revision/main\?blobs=[Tt]rue", self.path)
        if listed and listed[1] in (REPOSITORY, "org/checkpoint"):
            return self._list()
        match = re.fullmatch(r"/(org/[\w-]+)/resolve/([^/]+)/(.+)", self.path)
        token = self.headers.get("Authorization")
        if match is None or match[1] not in (REPOSITORY, "org/private", "org/gated", "org/checkpoint"):
            return self._refuse(404, "RepoNotFound")
        if match[1] == "org/private" and token != "Bearer right":
            return self._refuse(401, "")
        if match[1] == "org/gated":
            return self._refuse(403, "GatedRepo")
        if match[2] not in ("main", "v1", hub.commit):
            return self._refuse(404, "RevisionNotFound")
        if match[3] not in hub.files:
            return self._refuse(404, "EntryNotFound")
        return self._send(match[3], body=body)

    def _send(self, name: str, *, body: bool) -> None:
        hub, content = self.server, self.server.files[name]
        start = int(match[1]) if (match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))) else 0
        sent = content[: len(content) + min(0, hub.longer)] + b"!" * max(0, hub.longer) if body else content
        if body and hub.spoils and not start:
            hub.spoils -= 1
            sent = bytes([sent[0] ^ 1]) + sent[1:]
        if start and start >= len(sent):
            return self._refuse(416, "")
        part = sent[start:]
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", hub.commit)
        self.send_header("Content-Length", str(len(part)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(sent) - 1}/{len(sent)}")
        self.end_headers()
        if not body:
            return None
        end = len(part)
        if hub.breaks:
            hub.breaks -= 1
            self.close_connection, end = True, end // 2
        for at in range(0, end, _PIECE):
            if hub.pause and hub.ended.wait(hub.pause):
                return None
            try:
                self.wfile.write(part[at : min(end, at + _PIECE)])
            except OSError:  # it was killed
                self.close_connection = True
                return None
        return None

    def _list(self) -> None:
        files = [{"rfilename": name, "size": len(content)} for name, content in self.server.files.items()]
        answer = json.dumps({"id": REPOSITORY, "sha": self.server.commit, "siblings": files}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _refuse(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"X-Error-Code": code, "Content-Length": "0", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class HubServer(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hub)
        self.requests: list[str] = []
        self.files = {FILE: TINY.read_bytes()}
        self.commit = COMMIT
        self.breaks = self.spoils = self.longer = self.status = 0
        """How many downloads break off in the middle, and how many have another first byte; how many bytes more a
        download has than was told; with which status all is refused."""
        self.pause = 0.0
        """Seconds before each 64 KiB."""
        self.hangs = False
        self.ended = threading.Event()

    def gets(self) -> list[str]:
        return [request for request in self.requests if request.startswith("GET /org")]


@contextmanager
def serving() -> Iterator[HubServer]:
    with HubServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()


def wait_until(done: object, seconds: float = 20) -> None:
    """Until `done()`."""
    deadline = time.monotonic() + seconds
    assert callable(done)
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)
