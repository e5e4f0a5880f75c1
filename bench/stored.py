"""What storing answers costs: `python -m bench.stored [--rounds N] [--chats N] [--clients N] [--words N] [--index X]`

Short chats over HTTP to the echo engine, which computes nothing: stored and not stored in turns, on one gateway process
and one worker. The CPU is that of the gateway with its threads, until nothing waits to be stored any more. Then the
items of a conversation are listed, of which most lie in blobs. Prints Markdown.
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from bench.machine import cpu, describe, spread
from tests.stack import children, running, wait_for

LISTED, LARGE = 100, 67
"""Items of the conversation, and those of them that are blobs."""


def main() -> None:
    parser = argparse.ArgumentParser(description="what storing an answer costs")
    parser.add_argument("--rounds", type=int, default=7, help="of each [7]")
    parser.add_argument("--chats", type=int, default=160, help="of a round [160]")
    parser.add_argument("--clients", type=int, default=8, help="at once [8]")
    parser.add_argument("--words", type=int, default=8, help="of an answer [8]")
    parser.add_argument("--index", default="", help="`redis`, or a file of SQLite in the archive")
    given = parser.parse_args()
    print(f"{describe('inferq', 'gunicorn', 'gevent')}\n")
    with tempfile.TemporaryDirectory() as folder:
        settings = {"log_level": "warning", "archive_index": given.index, "slots": given.clients}
        with running(Path(folder), **settings) as stack:
            stack.start_gateway()
            stack.start_worker()
            (gateway,) = children(stack.children[1])
            measured: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
            for number in range(given.rounds + 1):
                for store in (False, True):
                    chats = partial(_chat_all, stack.port, given.chats, given.clients, given.words, store)
                    found = _measure(gateway, chats, lambda: not stack.redis.zcard("iq:unarchived"))
                    if number:  # the first one warms up
                        measured[store].append((given.chats / found[0], found[1] / given.chats * 1000))
            listed = _list_items(stack.port, given.rounds)
    print(
        f"{given.clients} clients, {given.words} words, {given.rounds} rounds of {given.chats} each,"
        " median (least to most):\n"
    )
    print("| chats | a second | CPU of the gateway, each |\n|---|---|---|")
    for store, each in measured.items():
        name = "stored" if store else "not stored"
        print(f"| {name} | {spread([rate for rate, _ in each], digits=1)} | {spread([ms for _, ms in each], ' ms')} |")
    pairs = list(zip(measured[False], measured[True], strict=True))
    more = spread([after[1] - before[1] for before, after in pairs], " ms")
    print(
        f"\nTo store one takes {more} more; stored ones come at {spread([b[0] / a[0] for a, b in pairs])} of the rate."
    )
    print(f"A page of {LISTED} items, {LARGE} of them blobs: {spread(listed, ' ms', 1)}.")


def _measure(pid: int, work: Callable[[], None], settled: Callable[[], Any]) -> tuple[float, float]:
    """Seconds until the last answer, and of CPU until all is stored."""
    used, begun = cpu(pid), time.monotonic()
    work()
    took = time.monotonic() - begun
    wait_for(settled, "the answers in the archive", 120)
    return took, cpu(pid) - used


def _chat_all(port: int, count: int, clients: int, words: int, store: bool) -> None:
    def chat_on(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        for place in range(count // clients):
            text = " ".join(f"word{number}-{place}-{word}" for word in range(words))
            _post(
                connection,
                "/v1/chat/completions",
                {"model": "echo", "messages": [{"role": "user", "content": text}], "store": store},
            )
        connection.close()

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(chat_on, range(clients)))


def _list_items(port: int, rounds: int) -> list[float]:
    """Milliseconds of each page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    path = f"/v1/conversations/{_post(connection, '/v1/conversations', {})['id']}/items"
    for start in range(0, LISTED, 20):
        sizes = [800 if number < LARGE else 8 for number in range(start, start + 20)]
        items = [{"role": "user", "type": "message", "content": "x" * size} for size in sizes]
        _post(connection, path, {"items": items})
    times = []
    for _ in range(rounds * 3):
        begun = time.monotonic()
        connection.request("GET", f"{path}?limit={LISTED}")
        assert len(json.loads(connection.getresponse().read())["data"]) == LISTED
        times.append((time.monotonic() - begun) * 1000)
    return times


def _post(connection: http.client.HTTPConnection, path: str, body: dict[str, Any]) -> Any:
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = json.loads(answer.read())
    assert answer.status == 200, content
    return content


if __name__ == "__main__":
    main()
