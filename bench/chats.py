"""Streamed chats with whatever serves them, as benches ask them: how soon the first text comes, and how many tokens."""

from __future__ import annotations

import http.client
import json
import re
import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

TOKENS = 128
SAMPLING = {"temperature": 1, "top_p": 1, "top_k": 0, "min_p": 0, "repeat_penalty": 1, "ignore_eos": True}
_COUNTED = re.compile(rb'"completion_tokens": ?(\d+)')

Connect = Callable[[], http.client.HTTPConnection]


class Answer(NamedTuple):
    first: float
    """Milliseconds to its first text."""
    tokens: int


@dataclass(frozen=True)
class Side:
    """A server of one model."""

    name: str
    connect: Connect
    headers: Mapping[str, str] = field(default_factory=dict)
    model: str = "smollm2"

    def ask(
        self, content: str, tokens: int = TOKENS, **options: object
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """A chat, whose answer the caller reads."""
        connection = self.connect()
        body = {"model": self.model, "messages": [{"role": "user", "content": content}], **SAMPLING}
        payload = json.dumps({**body, "max_tokens": tokens, **options})
        headers = {"Content-Type": "application/json", **self.headers}
        connection.request("POST", "/v1/chat/completions", payload, headers)
        return connection, connection.getresponse()

    def stream(self, content: str, tokens: int = TOKENS) -> Answer:
        """Read one to its end. Who says nothing of usage sends one token a chunk; all that is told was computed."""
        begun = time.perf_counter()
        connection, answer = self.ask(content, tokens, stream=True, stream_options={"include_usage": True})
        assert answer.status == http.HTTPStatus.OK, answer.read()
        first, count, told = 0.0, 0, b""
        for line in answer:  # which is not parsed: the client has the same cores as the server
            if b'"content":"' in line or b'"content": "' in line:
                if b'"content":""' in line or b'"content": ""' in line:
                    continue
                first = first or (time.perf_counter() - begun) * 1000
                count += 1
            elif b'"usage"' in line:
                told = line
        connection.close()
        counted = _COUNTED.search(told)
        assert first, "an answer without text"
        return Answer(first, int(counted[1]) if counted else count)

    def crowd(self, contents: Sequence[str], tokens: int = TOKENS) -> tuple[float, list[Answer]]:
        """All at once: tokens a second of them together, and each answer."""
        with ThreadPoolExecutor(len(contents)) as pool:
            begun = time.perf_counter()
            answers = list(pool.map(lambda content: self.stream(content, tokens), contents))
            seconds = time.perf_counter() - begun
        return sum(answer.tokens for answer in answers) / seconds, answers

    def read(self, content: str) -> float:
        """Tokens a second of a prompt, with the one token that answers it."""
        begun = time.perf_counter()
        connection, answer = self.ask(content, 1)
        told = json.loads(answer.read())
        seconds = time.perf_counter() - begun
        connection.close()
        return float(told["usage"]["prompt_tokens"]) / seconds


def over_tcp(name: str, port: int) -> Side:
    return Side(name, lambda: http.client.HTTPConnection("127.0.0.1", port, timeout=600))


def over_unix(name: str, path: Path, key: str) -> Side:
    return Side(name, lambda: UnixConnection(path), {"Authorization": f"Bearer {key}"})


def short_prompt() -> str:
    """New to every cache."""
    return f"{secrets.token_hex(8)}. Tell me a long story about a lighthouse and the sea."


def long_prompt() -> str:
    """About 1,500 tokens, new to every cache."""
    return f"{secrets.token_hex(8)}. " + "The sea was calm and the boat was slow. " * 150


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))
