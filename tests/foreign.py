"""A server that has only OpenAI's form of a streamed answer, and whatever faults a test gives it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "foreign-1"


@dataclass
class Foreign:
    """Takes `max_tokens` and `stream` alone; an answer has as many chunks, and no usage."""

    path: str = "/v1/chat/completions"
    known: tuple[str, ...] = ("model", "messages", "prompt", "stream", "max_tokens")
    """Of a request; another field is refused."""
    line_end: str = "\n"
    pause: float = 0.002
    """Seconds before each chunk."""
    first_pause: float = 0
    status: int = 200
    fault: str = ""
    """`cut`, `error` or `whole`, when `sound` requests have been answered."""
    sound: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    """What it has answered, or tried to."""
    order: list[str] = field(default_factory=list)
    """Is told its name with each of them."""
    name: str = ""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def prompts(self) -> list[str]:
        return [body.get("prompt") or body["messages"][0]["content"] for body in self.asked]

    def frame(self, chunk: dict[str, Any] | str) -> bytes:
        data = chunk if isinstance(chunk, str) else json.dumps(chunk)
        return f"data:{data}{self.line_end * 2}".encode()

    def frames(self, tokens: int, *, faulty: bool) -> Iterator[bytes]:
        chat = "chat" in self.path
        yield self.frame({"choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]})
        for number in range(tokens):
            time.sleep(self.pause if number else self.first_pause)
            if faulty and number == tokens // 2:
                if self.fault == "error":
                    yield self.frame({"error": {"message": "the engine has overheated", "type": "server_error"}})
                return
            said = {"delta": {"content": "word "}} if chat else {"text": "word "}
            yield self.frame({"choices": [{"index": 0, **said, "finish_reason": None}]})
        yield self.frame({"choices": [{"index": 0, "delta": {}, "text": "", "finish_reason": "length"}]})
        yield self.frame("[DONE]")


@contextmanager
def serving(foreign: Foreign) -> Iterator[Foreign]:
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

        def do_GET(self) -> None:
            self.tell(200, {"data": [{"id": MODEL}, {"id": "foreign-2"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            unknown = set(body) - set(foreign.known)
            if self.path != foreign.path:
                self.tell(404, {"error": {"message": "there is nothing here"}})
            elif unknown:
                self.tell(400, {"error": {"message": f"unknown: {sorted(unknown)[0]}"}})
            else:
                self.answer(body)

        def answer(self, body: dict[str, Any]) -> None:
            with lock:
                foreign.asked.append(body)
                foreign.order.append(foreign.name)
                faulty = len(foreign.asked) > foreign.sound
            if faulty and foreign.status != 200:
                self.tell(foreign.status, {"error": {"message": "not so many at once"}})
            elif faulty and foreign.fault == "whole":
                self.tell(200, {"choices": [{"message": {"content": "word"}}]})
            else:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream; charset=utf-8")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for frame in foreign.frames(body["max_tokens"], faulty=faulty and bool(foreign.fault)):
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(frame), frame))
                self.wfile.write(b"0\r\n\r\n")

        def tell(self, status: int, told: dict[str, Any]) -> None:
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    foreign.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield foreign
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
