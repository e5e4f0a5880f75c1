"""SmolLM2 through inferq, against llama.cpp's own server and that of llama-cpp-python on the same file, in one run.

    python -m bench.model [--short] [--runs N] [--tokens N] [--threads N ...] [--cases CASE ...]
        [--file GGUF] [--json FILE [--beside]]

All sides: the same file, threads, n_batch, context and sampling, streamed chats, in turns. llama.cpp's server is that
of the library that inferq computes with, with as many slots; llama-cpp-python's computes one answer at a time
(`python -m bench.peers` installs it; where it is not, it is left out). 1, 4, 8 and 16 streams, and a mix of eight, two
of them with prompts of 1,500 tokens. With the first number of threads all of that; with each other one, 1 stream.
`--cases 1 4` measures just these, and `--beside` joins the parts of several runs in one file.
Printed: tokens a second, time to the first token, the ratios round by round, and what inferq takes of the cores.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.chats import TOKENS, Side, long_prompt, over_tcp, short_prompt
from bench.figure import Figure, add_json, keep
from bench.machine import cpu, describe, spread
from bench.peers import Numbers, llama_cpp, llama_cpp_python
from inferq import pull
from shared import catalogue
from shared.config import Config
from shared.cores import usable
from tests.clients.environments import NotInstalled
from tests.stack import Stack, children, running

MODEL, CONTEXT, SLOTS = "smollm2", 8192, 16
CASES, MIXED, LONG = ("1", "4", "8", "16", "mix"), 8, 2
"""Streams at once; of a mix, how many there are, and how many of these have a long prompt."""
PACKAGES = ("inferq", "xllamacpp", "redis", "rq", "gunicorn")


Spent = dict[str, float]
"""Seconds of CPU, by part."""


@dataclass(frozen=True)
class Case:
    """Streams at once, some with long prompts. The time to the first token is that of the short ones."""

    name: str
    short: int
    long: int = 0

    @classmethod
    def of(cls, case: str, threads: int) -> Case:
        """The threads make a difference to one answer alone."""
        if case == "mix":
            return cls(f"{MIXED}, {LONG} long", MIXED - LONG, LONG)
        return cls(f"1, {threads} thread{'s' * (threads > 1)}" if case == "1" else case, int(case))

    def contents(self) -> list[str]:
        return [short_prompt() for _ in range(self.short)] + [long_prompt() for _ in range(self.long)]


@dataclass
class Seen:
    """The figures of a run of the bench."""

    speeds: Figure
    firsts: Figure
    costs: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """By case and part, microseconds of CPU a token."""

    def add(self, side: Side, at: str, speed: float, first: float) -> None:
        self.speeds.add(side.name, at, speed)
        self.firsts.add(side.name, at, first)


def main() -> None:
    parser = argparse.ArgumentParser(description="inferq against other servers of the same file")
    parser.add_argument("--runs", type=int, default=5, help="rounds, in which the sides take turns [5]")
    parser.add_argument("--short", action="store_true", help="1 and 8 streams and the mix, 48 tokens an answer")
    parser.add_argument("--within", type=float, default=600, help="seconds after which no round begins [600]")
    parser.add_argument("--tokens", type=int, default=TOKENS, help=f"of an answer [{TOKENS}]")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES, help="streams at once, or the mix [all]")
    parser.add_argument("--threads", type=int, nargs="+", default=[max(1, usable() - 1), usable()])
    parser.add_argument("--file", default=MODEL, help=f"the model [{MODEL}]")
    add_json(parser)
    given = parser.parse_args()
    path = pull.provide(catalogue.resolve(given.file)).path
    assert path is not None
    asked = [case for case in given.cases if not given.short or case in ("1", "8", "mix")]
    tokens = 48 if given.short else given.tokens
    print(describe(*PACKAGES))
    begun = time.monotonic()
    told = f"{path.name}, n_batch {Config().step}, {SLOTS} slots, context {CONTEXT}"
    print(f"{told}, {tokens} tokens an answer, {given.runs} rounds after one that warms up")
    seen = Seen(
        Figure("model-speed", "Tokens a second, SmolLM2", "streams", "tokens/s", "inferq", digits=0),
        Figure("model-first", "Time to the first token, SmolLM2", "streams", "ms", "inferq", less=True),
    )
    for number, threads in enumerate(dict.fromkeys(given.threads)):
        cases = [Case.of(case, threads) for case in asked if case == "1" or not number]
        if cases:
            with sides(path, threads) as (servers, look):
                for _ in compare(servers, cases, tokens, given.runs, seen, look):
                    keep(given, (seen.speeds, seen.firsts), *PACKAGES)
                    if time.monotonic() - begun > given.within:
                        break
    for figure in (seen.speeds, seen.firsts):
        print(f"\n{figure.title}\n\n{figure.table()}")
    print(f"\nCPU of each part, us a token\n\n{tell_costs(seen.costs)}", flush=True)


@contextmanager
def sides(path: Path, threads: int) -> Iterator[tuple[list[Side], Callable[[], Spent]]]:
    """The servers, and what tells the seconds of CPU of inferq's parts, its engine and llama.cpp's server so far."""
    numbers = Numbers(threads, usable(), Config().step, SLOTS, CONTEXT)
    with ExitStack() as closing:
        port, pid = closing.enter_context(llama_cpp(path, numbers))
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        stack = closing.enter_context(running(folder, log_level="warning"))
        stack.start_gateway(processes=1)
        stack.start_worker(str(path), **numbers.settings, as_is=1)
        name = next(iter(stack.http().get("/v1/models").json()["data"]))["id"]
        found = [replace(over_tcp("inferq", stack.port), model=name)]
        found.append(over_tcp("llama.cpp", port))
        try:
            found.append(over_tcp("llama-cpp-python", closing.enter_context(llama_cpp_python(path, numbers))))
        except NotInstalled as exc:
            print(f"llama-cpp-python is left out: {exc}")
        told = f"threads: {threads} for one answer, {usable()} for several and for prompts"
        print(f"{told}: {', '.join(side.name for side in found)}", flush=True)
        yield found, lambda: spent(stack, pid)


def spent(stack: Stack, other: int) -> Spent:
    """`other`: the pid of llama.cpp's server."""
    processes = {"gateway": children(stack.gateway), "worker": {stack.worker.pid}, "valkey": {stack.valkey.pid}}
    processes |= {"its engine": children(stack.worker), "llama.cpp": {other}}
    return {part: sum(map(cpu, pids)) for part, pids in processes.items()}


def compare(
    servers: Sequence[Side], cases: Sequence[Case], tokens: int, runs: int, seen: Seen, look: Callable[[], Spent]
) -> Iterator[None]:
    """After each round, the first of which warms up."""
    for turn in range(runs + 1):
        for case in cases:
            before = look()
            for side in servers if turn % 2 else servers[::-1]:
                speed, answers = side.crowd(case.contents(), tokens)
                first = statistics.median(answer.first for answer in answers[: case.short])
                print(f"round {turn}, {case.name}: {side.name} {speed:.0f} tokens/s, {first:.0f} ms", flush=True)
                if turn:
                    seen.add(side, case.name, speed, first)
            if turn:
                for part, seconds in look().items():
                    took = (seconds - before[part]) / ((case.short + case.long) * tokens) * 1e6
                    seen.costs.setdefault(case.name, {}).setdefault(part, []).append(took)
        if turn:
            yield


def tell_costs(seen: dict[str, dict[str, list[float]]]) -> str:
    """Markdown, by case and part. The other parts of inferq take their time from the engine's cores."""
    names = next(iter(seen.values()))
    rows = [["streams", *names], ["---"] * (len(names) + 1)]
    rows += [[at, *(spread(costs[part], "", 0) for part in names)] for at, costs in seen.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    main()
