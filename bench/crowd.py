"""Many clients of streamed chats in one process, which reads what comes on all connections and counts it.

    python -m bench.crowd PORT STREAMS TOKENS [SPREAD]

Prints one line of JSON: of each stream the milliseconds to its first token, and how many tokens came.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from dataclasses import dataclass

_TOKEN = b'"delta":{"content":"'
_END = b"data: [DONE]"


@dataclass(slots=True)
class Reader:
    connection: socket.socket
    asked: float
    first: float = 0.0
    tokens: int = 0
    tail: bytes = b""
    ended: bool = False

    def take(self, data: bytes, now: float) -> None:
        data = self.tail + data
        count = data.count(_TOKEN)
        if count and not self.first:
            self.first = now
        self.tokens += count
        self.ended = self.ended or _END in data
        self.tail = data[data.rfind(b"\n", 0, -1) + 1 :]
        if self.tail.count(_TOKEN):  # has been counted
            self.tokens -= self.tail.count(_TOKEN)


def request(tokens: int) -> bytes:
    text = " ".join(["word"] * tokens)
    body = json.dumps({"model": "echo", "messages": [{"role": "user", "content": text}], "stream": True})
    head = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"POST /v1/chat/completions HTTP/1.1\r\n{head}{body}".encode()


def run(port: int, streams: int, tokens: int, spread: float) -> list[Reader]:
    """`spread`: seconds over which the streams begin."""
    selector, asking = selectors.DefaultSelector(), request(tokens)
    readers: list[Reader] = []
    begun, left = time.monotonic(), streams
    while left:
        now = time.monotonic()
        due = min(streams, int((now - begun) / spread * streams) + 1 if spread else streams)
        for _ in range(min(due - len(readers), 20)):
            connection = socket.create_connection(("127.0.0.1", port), timeout=60)
            readers.append(reader := Reader(connection, time.monotonic()))
            connection.sendall(asking)
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ, reader)
        for key, _ in selector.select(0.002 if len(readers) < streams else 0.05):
            reader = key.data
            data = reader.connection.recv(1 << 16)
            reader.take(data, time.monotonic())
            if not data or reader.ended:
                selector.unregister(reader.connection)
                reader.connection.close()
                left -= 1
    return readers


def main() -> None:
    port, streams, tokens = map(int, sys.argv[1:4])
    readers = run(port, streams, tokens, float(sys.argv[4]) if len(sys.argv) > 4 else 0.0)
    firsts = [(each.first - each.asked) * 1000 for each in readers if each.first]
    print(json.dumps({"first": firsts, "tokens": sum(each.tokens for each in readers)}))


if __name__ == "__main__":
    main()
