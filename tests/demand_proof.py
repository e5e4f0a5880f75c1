"""More models than there is room for: requests of ten clients, while workers and the supervisor are killed at random.

Of all that was asked nothing may be lost, at most two models may be loaded at any moment, in no more memory than they
were given, and none may starve, nor may they swap at each request. It is shown with five models of the engine echo,
with five real ones (SmolLM2, MiniLM, the tiny model, an adapter of it, a legacy file), and on two machines of which one
stands still while it loads: `make demand`.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2 as httpx

from inferq.agent import room
from inferq.agent.stock import Stock
from shared import catalogue
from shared.config import Config
from tests import demand_machines
from tests.adapters import write_adapter
from tests.beside import Helper
from tests.demand_watch import Seen, Watch
from tests.fixtures import make_legacy
from tests.stack import free_port
from tests.tiny import TINY
from tests.up import Up

_ECHOES = ("red", "green", "blue", "white", "black")
_TABLE = '[[model]]\nid = "{}"\nengine = "echo"\n'
_ADAPTER = '[[model]]\nid = "formal"\nbase = "tiny"\nadapter = "{}"\n'
_RESIDENCE, _TURN = 2.0, 8.0
_PATIENCE = 240.0
"""Seconds after which a client takes its answer for lost."""
_SUPERVISOR = 0.15
"""How many of the kills hit the supervisor."""


@dataclass(frozen=True)
class Part:
    """Models that have room for two of them."""

    name: str
    models: tuple[str, ...]
    settings: dict[str, str]

    def write(self, folder: Path) -> int:
        """Make the folder that is offered. Returns the bytes of memory in which any two fit."""
        folder.mkdir(exist_ok=True)
        if self.name == "echo":
            (folder / "models.toml").write_text("\n".join(map(_TABLE.format, self.models)))
            needs, _ = room.weigh(catalogue.resolve("echo"), Config())
            return int(2.5 * needs)  # and no three
        shutil.copy(TINY, folder / "tiny.gguf")
        make_legacy.write("gpt2", "F16", folder / "old.bin")
        (folder / "models.toml").write_text(_ADAPTER.format(write_adapter(folder / "formal.lora")))
        config = Config.from_env({**self.settings, "INFERQ_MODELS": str(folder)})
        stock = Stock(config, lambda model: model)
        stock.look()
        sizes = sorted(stock.weigh(model).needs for model in self.models)
        return int(sum(sizes[-2:]) + sizes[0] / 2)


ECHO = Part("echo", _ECHOES, {"INFERQ_ECHO_RATE": "100"})
REAL = Part(
    "real",
    ("smollm2", "minilm", "tiny", "formal", "old"),
    {
        "INFERQ_MAX_LOADED": "2",  # three of the small ones would fit where the two large ones do
        "INFERQ_CONTEXT": "256",
        "INFERQ_SLOTS": "2",
        "INFERQ_THREADS": "1",
        "INFERQ_BATCH_SIZE": "128",
        "INFERQ_AS_IS": "1",
    },
)


@dataclass
class Told:
    """What came of it."""

    answered: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    longest: dict[str, float] = field(default_factory=dict)
    """Seconds that the slowest answer of each model took."""
    killed: Counter[str] = field(default_factory=Counter)
    took: float = 0.0
    budget: int = 0
    """Bytes of memory that models had."""
    seen: Seen = field(default_factory=Seen)

    def most_kept_out(self, models: int) -> float:
        """Seconds that a request may wait for its model: a turn, and then for all others before it to come, to stay and
        to go."""
        return _TURN + models * (_RESIDENCE + self.seen.slowest_load + self.seen.slowest_end)

    def most_loads(self) -> float:
        """How often one may be loaded: two at a time, each of which loads and then stays, and whatever was killed."""
        stays = (2 * self.took - self.seen.loading) / _RESIDENCE
        return 2 + stays + self.killed["worker"] + 2 * self.killed["supervisor"]


class Proof:
    """A run of `inferq up`, which is started again when it was killed."""

    def __init__(self, part: Part, folder: Path, requests: int, seed: int, kills: bool) -> None:
        self._part, self._folder, self._seed, self._kills = part, folder, seed, kills
        self._port = free_port()
        self._url = f"http://127.0.0.1:{self._port}"
        self._requests = self._left = requests
        self._lock = threading.Lock()
        self._open: dict[int, tuple[str, float]] = {}
        """The requests that wait: for which model, and since when (monotonic)."""
        self.told = Told(budget=part.write(folder / "models"))
        self._up = self._start()
        self._watch = Watch(self._url, lambda: self._up.process.pid, lambda: list(self._open.values()))

    def run(self) -> Told:
        """Until all is answered."""
        begun = time.monotonic()
        clients = [Helper(self._ask, number) for number in range(10)]
        if self._kills:
            self._kill_now_and_then(clients)
        for client in clients:
            client.finish(2 * _PATIENCE, self.told.answered.total)
        self.told.took = time.monotonic() - begun
        self.told.seen = self._watch.close()
        self._up.process.terminate()
        self._up.finish()
        assert self._up.process.stdout
        self._up.process.stdout.close()
        return self.told

    def _start(self) -> Up:
        settings = {
            "INFERQ_MEMORY": f"{self.told.budget}B",
            "INFERQ_RESIDENCE": str(_RESIDENCE),
            "INFERQ_TURN": str(_TURN),
            "INFERQ_LEASE": "2",
        }
        models = str(self._folder / "models")
        up = Up(self._folder / "data", "--models", models, "--port", str(self._port), **settings, **self._part.settings)
        up.ready()
        return up

    def _ask(self, number: int) -> None:
        """A client, who comes again with the same key until its request is answered."""
        draw = random.Random(self._seed * 100 + number)
        with httpx.Client(timeout=120) as http:
            while True:
                with self._lock:
                    self._left -= 1
                    if self._left < 0:
                        return
                    request = self._left
                model, words = draw.choice(self._part.models), f"{request} " + "word " * draw.randrange(1, 60)
                begun = time.monotonic()
                self._open[request] = model, begun
                fault = self._answer(http, model, words, request)
                del self._open[request]
                with self._lock:
                    self.told.answered[model] += 1
                    took = time.monotonic() - begun
                    self.told.longest[model] = max(took, self.told.longest.get(model, 0))
                    if fault:
                        self.told.lost.append(f"{model}: {words!r}: {fault}")

    def _answer(self, http: httpx.Client, model: str, words: str, request: int) -> str:
        """What is wrong with the answer; empty where nothing is."""
        path, body = "/v1/completions", {"model": model, "prompt": words, "max_tokens": 100}
        if model == "minilm":
            path, body = "/v1/embeddings", {"model": model, "input": words}
        elif self._part is REAL:
            body |= {"max_tokens": 16, "ignore_eos": True}
        headers = {"Idempotency-Key": f"{self._seed}-{request}"}
        deadline = time.monotonic() + _PATIENCE
        said = ""
        while time.monotonic() < deadline:
            try:
                answer = http.post(f"{self._url}{path}", json=body, headers=headers)
                if answer.status_code == 200:
                    return _fault(model, words, answer.json())
                said = answer.text
            except httpx.TransportError as exc:
                said = repr(exc)
            time.sleep(0.2)
        return f"no answer: {said}"

    def _kill_now_and_then(self, clients: list[Helper]) -> None:
        """As the answers come, not by the clock: of a slow machine nobody would ever get to load anything. A worker and
        the supervisor are hit in any case. It ends with the clients, also where the last answers come before the kill
        that was due, or a client fails."""
        draw = random.Random(self._seed)
        after, supervisor = self._requests // 4, False
        while after < self._requests and any(client.is_alive() for client in clients):
            if self.told.answered.total() < after:
                time.sleep(0.05)
                continue
            time.sleep(draw.uniform(0, 1))  # also while nothing is answered
            if supervisor:
                self._restart()
            elif not self._kill_worker(draw):
                continue  # nobody is at work just now
            first = self.told.killed.total() == 1
            after += self._requests // 4 if first else draw.randrange(5, 20)
            supervisor = first or draw.random() < _SUPERVISOR

    def _kill_worker(self, draw: random.Random) -> bool:
        """One whose model is asked for. False where there is none."""
        asked = {model for model, _ in list(self._open.values())}
        workers = sorted((pid, model) for pid, model in self._watch.workers().items() if model in asked)
        if not workers:
            return False
        pid, model = draw.choice(workers)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self._watch.begin_anew(model)
            self.told.killed["worker"] += 1
            return True
        return False

    def _restart(self) -> None:
        self.told.killed["supervisor"] += 1
        self._watch.pause()
        os.kill(self._up.process.pid, signal.SIGKILL)
        self._up.process.wait()
        assert self._up.process.stdout
        self._up.process.stdout.close()
        log = self._up.log_file
        log.rename(log.with_suffix(f".log{self.told.killed['supervisor']}"))
        self._up = self._start()
        self._watch.go_on()


def _fault(model: str, words: str, answer: dict[str, Any]) -> str:
    if model == "minilm":
        return "" if len(answer["data"][0]["embedding"]) == 384 else repr(answer)[:200]
    if model in _ECHOES:
        return "" if answer["choices"][0]["text"].rstrip() == words.rstrip() else repr(answer)
    return "" if answer["usage"]["completion_tokens"] == 16 else repr(answer)


def prove(requests: int, seed: int, folder: Path, *, kills: bool = True, part: Part = ECHO) -> Told:
    """Raises AssertionError where it does not hold."""
    told = Proof(part, folder, requests, seed, kills).run()
    assert not told.lost, told
    assert told.answered.total() == requests, told
    assert not kills or (told.killed["worker"] and told.killed["supervisor"]), told
    assert told.seen.loaded <= 2, told
    assert told.seen.memory <= told.budget, told
    assert max(told.seen.kept_out.values(), default=0.0) <= told.most_kept_out(len(part.models)), told
    assert told.seen.loads <= told.most_loads(), told
    return told


def _lines(told: Told, models: int) -> Iterator[str]:
    seen = told.seen
    yield f"{told.answered.total()} requests in {told.took:.0f} s: 0 lost; killed {dict(told.killed)}"
    yield (
        f"at most {seen.loaded} loaded, in {seen.memory / 1e6:.0f} MB (PSS of workers and hosts, {seen.looks} looks)"
        f" of {told.budget / 1e6:.0f} MB"
    )
    yield (
        f"{seen.loads} loads (bound {told.most_loads():.0f}), the slowest {seen.slowest_load:.1f} s, the slowest end"
        f" {seen.slowest_end:.1f} s"
    )
    yield (
        f"kept out at most {max(seen.kept_out.values(), default=0):.1f} s (bound {told.most_kept_out(models):.0f} s);"
        f" nobody answered for {seen.longest_away:.1f} s at most"
    )
    yield f"kept out, in seconds: { {model: round(out, 1) for model, out in sorted(seen.kept_out.items())} }"
    yield f"slowest answers, in seconds: { {model: round(took, 1) for model, took in sorted(told.longest.items())} }"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=40, help="of each part")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument(
        "--parts", nargs="+", choices=("echo", "real", "machines"), default=["echo", "real", "machines"]
    )
    parser.add_argument("--calm", action="store_true", help="kill nobody")
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    for part in (ECHO, REAL):
        if part.name in asked.parts:
            with tempfile.TemporaryDirectory() as folder:
                told = prove(asked.requests, asked.seed, Path(folder), kills=not asked.calm, part=part)
            print(f"{part.name}: " + "\n  ".join(_lines(told, len(part.models))), flush=True)
    if "machines" in asked.parts:
        with tempfile.TemporaryDirectory() as folder:
            print("machines: " + demand_machines.prove(Path(folder)))


if __name__ == "__main__":
    main()
