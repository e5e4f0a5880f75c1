"""Clients that ask and never read, beside one that does: what a gateway process holds for each, until it cuts them off.

    python -m bench.unread [--clients 20] [--megabytes 0.5 1 4] [--patience 3]

The echo engine answers as fast as it can, with answers of several lengths in turns: what is held does not follow them.
Another client asks for one word meanwhile, again and again.
"""

from __future__ import annotations

import argparse
import select
import socket
import tempfile
import time
from contextlib import closing
from pathlib import Path

from bench.lone import ask
from bench.machine import describe, percentile
from shared import footprint
from tests.calls import CHATS, chat, raw_post
from tests.stack import Stack, children, running

WORD, ONE = "a" * 1000, 500
"""Bytes of a word; words of a choice, half a megabyte with what stands around them."""


def main() -> None:
    parser = argparse.ArgumentParser(description="clients that never read")
    parser.add_argument("--clients", type=int, default=20, help="that do not read [20]")
    parser.add_argument("--megabytes", type=float, nargs="+", default=[0.5, 1, 4], help="of an answer")
    parser.add_argument("--patience", type=float, default=3, help="seconds that a client may take to read [3]")
    given = parser.parse_args()
    print(describe("inferq", "redis", "flask", "gunicorn", "gevent"))
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder), log_level="warning", client_timeout=given.patience, retention=5) as stack,
    ):
        stack.start_gateway()
        stack.start_worker(slots=8)
        ask(stack.port, 50, kept=True)
        measure(stack, given.clients, 1)  # the memory that a process takes once, and keeps
        print("\n| an answer | held for a client | cut off after | a word for another client, p50 and p95 |")
        print("|---|---|---|---|")
        for size in given.megabytes:
            held, seconds, words = measure(stack, given.clients, max(1, round(size * 1e6 / (ONE * len(WORD)))))
            word = f"{percentile(words, 50):.1f} and {percentile(words, 95):.1f} ms"
            print(f"| {size:g} MB | {held / 1000:.0f} kB | {seconds:.1f} s | {word} |", flush=True)


def measure(stack: Stack, clients: int, choices: int) -> tuple[float, float, list[float]]:
    """Bytes a client at most, seconds until all are cut off, and milliseconds of another's words meanwhile."""
    (gateway,) = children(stack.gateway)
    before, most, words, begun = footprint.resident(gateway), 0, list[float](), time.monotonic()
    body = {**chat(" ".join([WORD] * ONE), stream=True), "n": choices}
    waiting = [raw_post(stack, CHATS, body) for _ in range(clients)]
    while waiting:
        words += ask(stack.port, 5, kept=False)
        most = max(most, footprint.resident(gateway))
        waiting = [each for each in waiting if is_open(each)]
    return (most - before) / clients, time.monotonic() - begun, words


def is_open(connection: socket.socket) -> bool:
    """Whether the gateway has not ended it; one that it has ended is closed."""
    poll = select.poll()
    poll.register(connection, select.POLLHUP | select.POLLRDHUP)
    if not poll.poll(0):
        return True
    with closing(connection):
        return False


if __name__ == "__main__":
    main()
