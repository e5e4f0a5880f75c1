"""What the overview costs while streams run: CPU time of a gateway process and of Valkey.

    python -m bench.overview [--streams 1000] [--rate 0.5] [--seconds 60] [--rounds 5] [--watchers 1]

The echo engine streams so many chats through one gateway process. Windows with watchers and without take turns; what
is told is the difference of the two, in each round. The cost follows the number of streams and not their pace, so that
is slow: what a stream itself costs shall not hide it. CPU time counts, so other work on the machine matters little.
Ends with the targets, and with status 1 where one is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import selectors
import socket
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from bench.machine import cpu, describe, spread
from shared.config import MOST_SLOTS
from tests.stack import Stack, children, running, wait_for

MOST = {"gateway": 2.0, "valkey": 1.0}
"""Of a core, in percent."""
_START = 120.0
"""Seconds that the streams may take to begin."""


class Readers:
    """Reads what comes on many connections, and throws it away."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def open(self, request: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=60)
        connection.sendall(request)
        connection.setblocking(False)
        with self._lock:
            self._selector.register(connection, selectors.EVENT_READ)
        return connection

    def close(self, connection: socket.socket) -> None:
        with self._lock:
            self._selector.unregister(connection)
        connection.close()

    def _read(self) -> None:
        while True:
            time.sleep(0.02)
            with self._lock:
                for key, _ in self._selector.select(0):
                    assert isinstance(key.fileobj, socket.socket)
                    if not key.fileobj.recv(1 << 20):
                        self._selector.unregister(key.fileobj)


def main() -> None:
    parser = argparse.ArgumentParser(description="What the overview costs while streams run")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=0.5, help="tokens a second of each [0.5]")
    parser.add_argument("--seconds", type=float, default=60, help="of a window [60]")
    parser.add_argument("--rounds", type=int, default=5, help="of two windows [5]")
    parser.add_argument("--watchers", type=int, default=1)
    given = parser.parse_args()
    print(describe("inferq", "redis", "gunicorn", "gevent"))
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), echo_rate=given.rate, log_level="warning") as stack,
    ):
        stack.start_gateway(processes=1)
        workers = math.ceil(given.streams / MOST_SLOTS)
        for _ in range(workers):
            stack.start_worker(slots=math.ceil(given.streams / workers))
        readers = Readers(stack.port)
        tokens = int(given.rate * (_START + 2.2 * given.rounds * given.seconds)) + 10
        for _ in range(given.streams):
            readers.open(chat(tokens))
        wait_for(lambda: len(stack.redis.zrange("iq:leases:echo", 0, -1)) == given.streams, "all streams", _START)
        sound = measure(stack, readers, given)
    sys.exit(not sound)


def measure(stack: Stack, readers: Readers, given: argparse.Namespace) -> bool:
    (gateway,) = children(stack.gateway)
    pids = {"gateway": gateway, "valkey": stack.valkey.pid}

    def window(watchers: int) -> dict[str, float]:
        """Percent of a core."""
        with ExitStack() as closing:
            for _ in range(watchers):
                closing.callback(readers.close, readers.open(WATCH))
            time.sleep(2)  # the whole of the last hour is told once
            before, begun = {name: cpu(pid) for name, pid in pids.items()}, time.monotonic()
            time.sleep(given.seconds)
            took = time.monotonic() - begun
            return {name: (cpu(pid) - before[name]) / took * 100 for name, pid in pids.items()}

    pairs = [(window(0), window(given.watchers)) for _ in range(given.rounds)]
    running_still = stack.redis.zcard("iq:leases:echo")
    print(f"{running_still} streams of {given.rate} tokens a second, {given.rounds} rounds of {given.seconds:g} s")
    sound: bool = running_still == given.streams
    for name, most in MOST.items():
        costs = sorted(after[name] - before[name] for before, after in pairs)
        print(f"  {name}: {spread([before[name] for before, _ in pairs], ' %', 2)} of a core without a watcher,")
        print(f"    {spread(costs, ' %', 2)} more with {given.watchers} (target: less than {most} %)")
        sound = sound and costs[len(costs) // 2] < most
    return sound


def chat(tokens: int) -> bytes:
    text = " ".join(["word"] * tokens)
    body = json.dumps(
        {"model": "echo", "messages": [{"role": "user", "content": text}], "stream": True, "max_tokens": tokens}
    )
    head = f"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return f"POST /v1/chat/completions HTTP/1.1\r\n{head}{body}".encode()


WATCH = b"GET /v1/overview/events HTTP/1.1\r\nHost: localhost\r\n\r\n"

if __name__ == "__main__":
    main()
