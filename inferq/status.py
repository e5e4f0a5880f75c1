"""`inferq status`: what the Redis of a running inferq knows about it, and of its batches the archive."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from redis import Redis

from gateway.archive.archive import Archive
from inferq.batches import unfinished
from inferq.batches.unfinished import UnfinishedBatch
from inferq.errors import NotRunning
from inferq.terminal import drawable, echo
from shared import agents, census, folders, registry
from shared.agents import ModelOnDemand, ModelState
from shared.census import Failure, Numbers
from shared.config import PREFIX, Config
from shared.registry import GatewayProcess, Worker
from shared.regular_file import read_text
from shared.store import Outage, connect

PERIOD = 2.0
"""Seconds between two looks of `--watch`."""


@dataclass(frozen=True, slots=True)
class Status:
    """A moment."""

    gateways: list[GatewayProcess]
    workers: list[Worker]
    busy: dict[str, int]
    """Jobs that each worker computes."""
    models: dict[str, Numbers]
    failures: list[Failure]
    """The latest first."""
    batches: list[UnfinishedBatch]
    """The oldest first."""
    on_demand: list[ModelOnDemand] = field(default_factory=list)
    """By machine."""


def local(data_dir: Path | None, config: Config) -> Config:
    """With the Redis and the archive to ask: see `place`, and beside that, unless INFERQ_ARCHIVE names another one.

    Raises NotRunning.
    """
    archive = config.archive or str((data_dir or folders.data()) / "archive")
    return replace(config, redis_url=place(data_dir, config), archive=archive)


def place(data_dir: Path | None, config: Config) -> str:
    """The URL of the Redis to ask.

    It is that of the data directory, if one is named; else that of INFERQ_REDIS_URL; else that of the default data
    directory, if something ran there; else the default. Raises NotRunning.
    """
    if data_dir is None and os.environ.get(PREFIX + "REDIS_URL"):
        return config.redis_url
    file = (data_dir or folders.data()) / "redis.url"
    try:
        return read_text(file).strip()
    except UnicodeDecodeError:
        raise NotRunning(f"{file}: not the URL of a Redis") from None
    except OSError as exc:
        if data_dir is None and isinstance(exc, FileNotFoundError):
            return config.redis_url
        raise NotRunning(f"nothing runs on the data directory {file.parent}: {file.name}: {exc.strerror}") from exc


def show(config: Config, *, as_json: bool, watch: bool) -> None:
    """Print the status; to `watch` is to do it again and again, until Ctrl-C, at a terminal in its place.

    Raises NotRunning.
    """
    from inferq.status_table import as_table

    client, archive = connect(config.redis_url, timeout=2.0, retries=0), Archive.open(config)
    if not watch:
        echo((as_json_text if as_json else as_table)(_look(client, archive, config.redis_url)))
        return None
    if not as_json and (console := drawable()):
        from inferq.watch import screen  # takes long to import

        try:
            return screen.watch(console, client, archive, config, PERIOD)
        except Outage as exc:
            raise no_answer(config.redis_url, exc) from exc
    with suppress(KeyboardInterrupt):
        while True:
            status = _look(client, archive, config.redis_url)
            echo(_json_line(status) if as_json else as_table(status))
            time.sleep(PERIOD)


def _look(client: Redis, archive: Archive, url: str) -> Status:
    try:
        workers = registry.workers(client)
        on_demand = [model for agent in agents.agents(client) for model in agent.models]
        names = census.models(client) | registry.models(client).keys() | {worker.model for worker in workers}
        names |= {model.outline.id for model in on_demand}
        numbers, failures = census.numbers(client, names), census.failures(client, 100)
        busy, gateways = census.busy(client, names), registry.gateways(client)
        return Status(gateways, workers, busy, numbers, failures, unfinished.look(archive), on_demand)
    except Outage as exc:
        raise no_answer(url, exc) from exc


def no_answer(url: str, reason: Exception) -> NotRunning:
    """The error that a Redis does not answer; tells its place without its password."""
    parts = urlsplit(url)
    there = unquote(parts.path) if parts.scheme == "unix" else parts.netloc.rpartition("@")[2]
    return NotRunning(
        f"the Redis at {there} does not answer ({reason}). Start inferq with"
        f" `inferq up`, or name the Redis it uses with {PREFIX}REDIS_URL, or its data directory with --data-dir"
    )


def as_json_text(status: Status) -> str:
    return json.dumps(_plain(status), indent=2)


def _json_line(status: Status) -> str:
    return json.dumps(_plain(status))


def _plain(status: Status) -> dict[str, Any]:
    return {
        "models": [
            {
                "id": name,
                "state": state(status, name),
                "reason": reason(status, name) or None,
                "ready_workers": sum(w.card is not None for w in status.workers if w.model == name),
                "slots": slots(status, name),
                "queued": n.queued,
                "running": n.running,
                "completed": n.ended.get("completed", 0),
                "cancelled": n.ended.get("cancelled", 0),
                "failed": n.failed,
                "recovered": n.recovered,
                "prompt_tokens": n.prompt_tokens,
                "completion_tokens": n.completion_tokens,
            }
            for name, n in status.models.items()
        ],
        "workers": [
            {
                "name": w.name,
                "model": w.model,
                "host": w.host,
                "pid": w.pid,
                "since": w.since,
                "version": w.version or None,
                "ready": w.card is not None,
                "reason": w.trouble or None,
                "engine": w.card.engine if w.card else None,
                "context": w.card.context if w.card else None,
                "quantisation": (w.card.quantisation or None) if w.card else None,
                "prepared_from": (w.card.prepared_from or None) if w.card else None,
                "no_prefixes": (w.card.unkept or None) if w.card else None,
                "slots": w.card.slots if w.card else 0,
                "busy": status.busy.get(w.name, 0),
                "threads": w.threads or None,
                "batch_threads": w.batch_threads or None,
                "batch_size": w.batch_size or None,
            }
            for w in status.workers
        ],
        "gateways": [
            {"host": g.host, "pid": g.pid, "since": g.since, "ready": not g.reason, "reason": g.reason or None}
            for g in status.gateways
        ],
        "batches": [asdict(batch) for batch in status.batches],
        "failures": [asdict(failure) for failure in status.failures],
    }


def state(status: Status, model: str) -> str | None:
    """The best that a machine says of a model which it offers; None where none does."""
    told = [each.state for each in status.on_demand if each.outline.id == model]
    return min(told, key=list(ModelState).index, default=None)


def reason(status: Status, model: str) -> str:
    """Why a model has failed, where all machines say so."""
    if state(status, model) is not ModelState.FAILED:
        return ""
    return next(each.reason for each in status.on_demand if each.outline.id == model)


def slots(status: Status, model: str) -> int:
    """Those of its workers that serve."""
    return sum(worker.card.slots for worker in status.workers if worker.model == model and worker.card)
