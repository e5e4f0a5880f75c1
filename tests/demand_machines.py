"""Two machines on one Redis, of which one stands still while it has a model loaded, and goes on later."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2 as httpx

from shared import census, registry
from shared.agents import LOAD_TTL
from shared.registry import WORKER_TTL
from shared.store import connect
from tests.beside import Helper
from tests.demand_watch import parents, title
from tests.pace import slowness
from tests.stack import wait_for
from tests.up import Up, up

_TABLE = '[[model]]\nid = "{}"\nengine = "echo"\n'
_MODELS = ("red", "green")
_ROUND = 10.0
"""Seconds for a load, and for what is looked at every few seconds."""


def prove(folder: Path) -> str:
    """Says how long it took. Raises AssertionError where it does not hold."""
    models = folder / "models"
    models.mkdir()
    (models / "models.toml").write_text("\n".join(map(_TABLE.format, _MODELS)))
    arguments = ("--models", str(models), "--port", "0")
    with up(folder / "first", *arguments, INFERQ_LEASE="2") as first:
        url = first.ready()
        redis = (first.data_dir / "redis.url").read_text().strip()
        with up(folder / "second", *arguments, INFERQ_LEASE="2", INFERQ_REDIS_URL=redis) as second:
            second.ready()
            whole = _stand_still(url, redis, (first, second), "red", worker_too=True)
            alone = _stand_still(url, redis, (first, second), "green", worker_too=False)
    return (
        f"a machine stood still with the worker that it had loading: another one answered after {whole:.1f} s; the"
        f" supervisor alone: {alone:.1f} s; both went on, and nothing was lost or answered twice"
    )


def _stand_still(url: str, redis: str, machines: tuple[Up, Up], model: str, *, worker_too: bool) -> float:
    """Seconds to the answer of a request whose machine is stopped as soon as it has begun to load the model."""
    ends, begun = list[str](), time.monotonic()
    asking = Helper(lambda: ends.append(_ask(url, model, "one two three")))
    holder, worker = wait_for(lambda: _loading(machines, model), "somebody who loads it", 30)
    with _stopped([holder, worker] if worker_too else [holder]):
        asking.finish(60)
        took = time.monotonic() - begun
        assert ends == ["one two three"]
        most = (WORKER_TTL + LOAD_TTL if worker_too else 0) + _ROUND * slowness()
        assert took <= most, f"{took:.1f} s, where {most:.1f} s are the bound"
    with connect(redis) as client:
        for number in range(10):  # while the one that stood still comes with its own
            assert _ask(url, model, f"{number} and again") == f"{number} and again"
            time.sleep(0.1)
        told = census.numbers(client, [model])[model]
        assert (told.ended, told.queued, told.running) == ({"completed": 11}, 0, 0), told
        assert 1 <= sum(each.model == model for each in registry.workers(client)) <= 2
    return took


def _ask(url: str, model: str, words: str) -> str:
    body = {"model": model, "prompt": words, "max_tokens": 20}
    answer = httpx.post(f"{url}/v1/completions", json=body, timeout=120)
    return str(answer.json()["choices"][0]["text"]) if answer.status_code == 200 else answer.text


def _loading(machines: tuple[Up, Up], model: str) -> tuple[int, int] | None:
    """The supervisor that has a worker of the model, and that one."""
    mine = {machine.process.pid for machine in machines}
    for pid, parent in parents().items():
        with suppress(OSError):
            if parent in mine and model in title(pid).split() and "worker" in title(pid):
                return parent, pid
    return None


@contextmanager
def _stopped(pids: list[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
