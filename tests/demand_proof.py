"""Five models in a room for two: requests of ten clients, while workers and the supervisor are killed at random.

Of all that was asked nothing may be lost, at most two models may be loaded at any moment, and none may starve: `make
demand`.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2 as httpx

from inferq.agent import room
from shared import catalogue
from shared.config import Config
from tests.stack import free_port
from tests.up import Up, processes

MODELS = ("red", "green", "blue", "white", "black")
TABLE = '[[model]]\nid = "{}"\nengine = "echo"\n'
_LOOK = 0.05


@dataclass
class Told:
    """What came of it."""

    answered: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    longest: dict[str, float] = field(default_factory=dict)
    """Seconds that the slowest answer of each model took."""
    most_loaded: int = 0
    killed: Counter[str] = field(default_factory=Counter)
    loads: int = 0


class Proof:
    """A run of `inferq up`, which is started again when it was killed."""

    def __init__(self, folder: Path, requests: int, seed: int, kills: bool) -> None:
        self._folder, self._seed, self._kills = folder, seed, kills
        self._port = free_port()
        self._url = f"http://127.0.0.1:{self._port}"
        self._left = requests
        self._lock = threading.Lock()
        self._over = threading.Event()
        self.told = Told()
        self._up = self._start()

    def run(self) -> Told:
        """Until all is answered."""
        clients = [threading.Thread(target=self._ask, args=(number,)) for number in range(10)]
        watcher = threading.Thread(target=self._watch)
        for thread in (*clients, watcher):
            thread.start()
        draw = random.Random(self._seed)
        while any(thread.is_alive() for thread in clients):
            time.sleep(draw.uniform(1.0, 5.0))
            if self._kills:
                self._kill(draw)
        self._over.set()
        watcher.join()
        self._up.process.terminate()
        self._up.finish()
        assert self._up.process.stdout
        self._up.process.stdout.close()
        self.told.loads = sum(log.read_text().count("it is being loaded") for log in self._folder.glob("*.log*"))
        return self.told

    def _start(self) -> Up:
        models = self._folder / "models"
        models.mkdir(exist_ok=True)
        (models / "models.toml").write_text("\n".join(map(TABLE.format, MODELS)))
        needs, _ = room.weigh(catalogue.resolve("echo"), Config())
        settings = {
            "INFERQ_MEMORY": f"{int(2.8 * needs)}B",
            "INFERQ_RESIDENCE": "1",
            "INFERQ_TURN": "8",
            "INFERQ_ECHO_RATE": "100",
        }
        settings |= {"INFERQ_LEASE": "2"}
        up = Up(self._folder / "data", "--models", str(models), "--port", str(self._port), **settings)
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
                model, words = draw.choice(MODELS), f"{request} " + "word " * draw.randrange(1, 60)
                begun = time.monotonic()
                text = self._answer(http, model, words, request)
                with self._lock:
                    self.told.answered[model] += 1
                    took = time.monotonic() - begun
                    self.told.longest[model] = max(took, self.told.longest.get(model, 0))
                    if text != words.rstrip():
                        self.told.lost.append(f"{model}: {words!r}: {text!r}")

    def _answer(self, http: httpx.Client, model: str, words: str, request: int) -> str:
        body = {"model": model, "prompt": words, "max_tokens": 100}
        headers = {"Idempotency-Key": f"{self._seed}-{request}"}
        deadline = time.monotonic() + 240
        said = ""
        while time.monotonic() < deadline:
            try:
                answer = http.post(f"{self._url}/v1/completions", json=body, headers=headers)
                if answer.status_code == 200:
                    return str(answer.json()["choices"][0]["text"]).rstrip()
                said = answer.text
            except httpx.TransportError as exc:
                said = repr(exc)
            time.sleep(0.2)
        return f"no answer: {said}"

    def _workers(self) -> dict[int, str]:
        """Those of this run, the pid and the model of each; what is about to end by itself as well."""
        table = processes()
        parents = {self._up.process.pid}
        return {
            pid: title.split()[-1]
            for pid, (parent, state, title) in table.items()
            if parent in parents and title.startswith("inferq worker") and not state.startswith("Z")
        }

    def _watch(self) -> None:
        while not self._over.wait(_LOOK):
            self.told.most_loaded = max(self.told.most_loaded, len(self._workers()))

    def _kill(self, draw: random.Random) -> None:
        if draw.random() < 0.15:
            self._restart()
        elif workers := self._workers():
            with suppress(ProcessLookupError):
                os.kill(draw.choice(sorted(workers)), signal.SIGKILL)
                self.told.killed["worker"] += 1

    def _restart(self) -> None:
        self.told.killed["supervisor"] += 1
        os.kill(self._up.process.pid, signal.SIGKILL)
        self._up.process.wait()
        assert self._up.process.stdout
        self._up.process.stdout.close()
        log = self._up.log_file
        log.rename(log.with_suffix(f".log{self.told.killed['supervisor']}"))
        self._up = self._start()


def prove(requests: int, seed: int, folder: Path, *, kills: bool = True) -> Told:
    """Raises AssertionError where it does not hold."""
    told = Proof(folder, requests, seed, kills).run()
    assert not told.lost, told
    assert told.answered.total() == requests, told
    assert told.most_loaded <= 2, told
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        told = prove(asked.requests, asked.seed, Path(folder))
    print(f"{asked.requests} requests in {time.monotonic() - begun:.0f} s: 0 lost, at most {told.most_loaded} loaded")
    print(f"killed {dict(told.killed)}; {told.loads} loads; the slowest answers took, in seconds:")
    print({model: round(took, 1) for model, took in sorted(told.longest.items())})


if __name__ == "__main__":
    main()
