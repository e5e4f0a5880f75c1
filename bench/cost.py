"""What a token costs in the gateway, the worker and Valkey, beside what it costs in another commit, in one run.

    python -m bench.cost [--against COMMIT] [--runs N] [--streams N] [--model NAME]

Streamed chats over HTTP to the echo engine, which computes nothing: at a rate, the tokens of all streams at one time as
the batch of a model brings them forth, then each stream's at its own, then unbounded. Or to another model, whose engine
host is not counted. Both sides have a Valkey of their own, and run in turns. Prints the CPU time of each part a token,
what the parts use while nothing is asked of them, and the ratio pair by pair. The client's time is not counted.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import cpu, describe, spread
from tests.stack import Process, Stack, children, wait_for
from tests.upgrade.releases import check_out
from tests.upgrade.sides import THIS, Side

AGAINST = "01c233d"
RATE, PACED, UNBOUNDED, COMPUTED = 30, 200, 1500, 64
"""Tokens a second of a stream that is paced, and tokens of a stream that is, of one that is not, and of a model's."""
_CONTENT = re.compile(rb'"delta":\{"content"')

_LOCKSTEP = Path(__file__).with_name("lockstep.py")

Costs = dict[str, float]


@dataclass(frozen=True, slots=True)
class Pace:
    """How the tokens of the streams come."""

    tokens: int
    rate: float = 0
    """A second and stream; 0: as fast as it goes."""
    lockstep: bool = False
    """Those of all streams at one time."""

    def __str__(self) -> str:
        how = f"{self.rate} a second, {'all at one time' if self.lockstep else 'each at its own'}"
        return f"{self.tokens} tokens, {how if self.rate else 'as fast as it goes'}"


class Parts(Stack):
    """A gateway process and a worker of one side."""

    def __init__(self, directory: Path, side: Side, model: str, streams: int, rate: float, lockstep: bool) -> None:
        super().__init__(directory, log_level="warning", slots=streams, echo_rate=rate)
        self._side = side
        self._lockstep = lockstep
        self.model = model

    def serve(self) -> None:
        self.start_gateway(processes=1)
        self.worker = self._inferq("worker", self.model)
        wait_for(lambda: self._get("/readyz"), "the worker's card", 60)
        (gateway,) = children(self.gateway)
        self._pids = {"gateway": gateway, "worker": self.worker.pid, "valkey": self.valkey.pid}

    def _inferq(self, *arguments: str, **settings: Any) -> Process:
        command = self._side.command
        if self._lockstep and arguments[0] == "worker":
            command = (*command[:2], str(_LOCKSTEP))
        environ = self._side.environ({**self.settings, **settings})
        return self._start([*command, *arguments], env=environ, cwd=self._side.folder)

    def spent(self) -> Costs:
        """Seconds of CPU so far."""
        return {name: cpu(pid) for name, pid in self._pids.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time of a token, beside another commit")
    parser.add_argument("--against", default=AGAINST, metavar="COMMIT", help=f"the other side [{AGAINST}]")
    parser.add_argument("--runs", type=int, default=5, help="of each side [5]")
    parser.add_argument("--streams", type=int, default=8, help="at once [8]")
    parser.add_argument("--model", default="echo", help="what answers [echo]")
    given = parser.parse_args()
    sides = (check_out(given.against), THIS)
    print(describe("inferq", "redis", "rq", "gunicorn", "gevent"))
    paces = (Pace(PACED, RATE, lockstep=True), Pace(PACED, RATE), Pace(UNBOUNDED))
    for pace in paces if given.model == "echo" else (Pace(COMPUTED),):
        print(f"\n{given.streams} streams of {pace}, {given.runs} runs in turns; CPU a token:")
        compare(sides, given.model, given.streams, pace, given.runs)


def compare(sides: tuple[Side, Side], model: str, streams: int, pace: Pace, runs: int) -> None:
    costs: dict[str, list[Costs]] = {side.name: [] for side in sides}
    with ExitStack() as closing:
        stacks = {}
        for side in sides:
            folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))
            stacks[side.name] = stack = Parts(folder, side, model, streams, pace.rate, pace.lockstep)
            closing.callback(stack.close)
            stack.serve()
            chat_all(stack, streams, pace.tokens)  # warms up
        for _ in range(runs):
            for name, stack in stacks.items():
                costs[name].append(measure(stack, streams, pace.tokens))
        idle = {name: rest(stack) for name, stack in stacks.items()}
    for name, seen in costs.items():
        parts = ", ".join(f"{part} {spread([cost[part] for cost in seen], ' us', 0)}" for part in seen[0])
        print(f"  {name:9} {spread([sum(cost.values()) for cost in seen], ' us', 0)}: {parts}")
        print(f"  {'':9} with nothing to do: {', '.join(f'{part} {ms:.1f} ms/s' for part, ms in idle[name].items())}")
    before, after = costs.values()
    for part in before[0]:
        ratios = [b[part] / a[part] for a, b in zip(before, after, strict=True) if a[part]]  # else less than a tick
        if ratios:
            print(f"  {part:9} {spread(ratios)} of what it was")
    ratios = [sum(b.values()) / sum(a.values()) for a, b in zip(before, after, strict=True)]
    print(f"  together  {spread(ratios)} of what it was")


def measure(stack: Parts, streams: int, tokens: int) -> Costs:
    """Microseconds a token."""
    before = stack.spent()
    chat_all(stack, streams, tokens)
    return {part: (seconds - before[part]) / (streams * tokens) * 1e6 for part, seconds in stack.spent().items()}


def rest(stack: Parts, seconds: float = 5) -> Costs:
    """Milliseconds of CPU a second while nothing is asked."""
    before = stack.spent()
    time.sleep(seconds)
    return {part: (used - before[part]) / seconds * 1000 for part, used in stack.spent().items()}


def chat_all(stack: Parts, streams: int, tokens: int) -> None:
    with ThreadPoolExecutor(streams) as pool:
        for _ in pool.map(lambda _: chat(stack.port, stack.model, tokens), range(streams)):
            pass


def chat(port: int, model: str, tokens: int) -> None:
    """Read a streamed chat of so many tokens to its end."""
    content = " ".join(f"word{number}" for number in range(tokens)) if model == "echo" else "Tell me a long story."
    options = {"max_tokens": tokens, "ignore_eos": model != "echo", "stream": True}
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": content}], **options})
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += "Content-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        pieces = []
        while piece := connection.recv(65_536):
            pieces.append(piece)
    answer = b"".join(pieces)
    assert b"data: [DONE]" in answer, answer[-300:]
    count = len(_CONTENT.findall(answer))
    assert tokens * 0.9 <= count <= tokens, f"{count} pieces of text came of {tokens} tokens"


if __name__ == "__main__":
    main()
