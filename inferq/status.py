"""`inferq status`: what the Redis of a running inferq knows about it, and of its batches the archive."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from redis import Redis

from gateway.archive.archive import Archive
from inferq.batches import unfinished
from inferq.batches.unfinished import UnfinishedBatch
from inferq.errors import NotRunning
from inferq.table import align, span
from inferq.terminal import drawable, echo
from shared import census, folders, registry
from shared.card import Card
from shared.census import Failure, Numbers
from shared.config import PREFIX, Config
from shared.registry import GatewayProcess, Worker
from shared.regular_file import read_text
from shared.store import Outage, connect

PERIOD = 2.0
"""Seconds between two looks of `--watch`."""
_SHOWN = 10
"""Failures in the table; JSON has all that are kept."""


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
        names = census.models(client) | registry.models(client).keys() | {worker.model for worker in workers}
        numbers, failures = census.numbers(client, names), census.failures(client, 100)
        busy, gateways = census.busy(client, names), registry.gateways(client)
        return Status(gateways, workers, busy, numbers, failures, unfinished.look(archive))
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
                "ready_workers": sum(w.card is not None for w in status.workers if w.model == name),
                "slots": _slots(status, name),
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


def as_table(status: Status) -> str:
    parts = [_models(status) if status.models else "no models: no worker has been started yet"]
    parts += [_workers(status)] if status.workers else ["no live workers"]
    parts += [_batches(status.batches)] if status.batches else []
    unwell = [gateway for gateway in status.gateways if gateway.reason]
    parts += [_gateways(unwell)] if unwell else []
    parts += [_failures(status.failures[:_SHOWN])] if status.failures else []
    return "\n\n".join(parts)


def _models(status: Status) -> str:
    rows: list[tuple[str, ...]] = [
        ("MODEL", "WORKERS", "SLOTS", "RUNNING", "QUEUED", "COMPLETED", "CANCELLED", "FAILED", "RECOVERED")
    ]
    for name, n in status.models.items():
        cards = [worker.card for worker in status.workers if worker.model == name]
        ready = sum(card is not None for card in cards)
        workers = f"{ready} of {len(cards)} ready" if ready < len(cards) else str(ready)
        ended = (n.ended.get("completed", 0), n.ended.get("cancelled", 0), n.failed, n.recovered)
        rows.append((name, workers, *map(str, (_slots(status, name), n.running, n.queued, *ended))))
    return align(rows)


def _slots(status: Status, model: str) -> int:
    return sum(worker.card.slots for worker in status.workers if worker.model == model and worker.card)


def _workers(status: Status) -> str:
    rows = [("WORKER", "MODEL", "WEIGHTS", "HOST", "PID", "VERSION", "UP", "BUSY", "THREADS", "STEP", "STATE")]
    for w in status.workers:
        slots = f"{status.busy.get(w.name, 0)} of {w.card.slots}" if w.card else "-"
        state = f"ready{w.card.unkept and f', no prefixes: {w.card.unkept}'}" if w.card else f"not ready: {w.trouble}"
        up = span(time.time() - w.since)
        threads = "/".join(map(str, filter(None, (w.threads, w.batch_threads)))) or "-"
        numbers = (threads, str(w.batch_size or "-"))
        rows.append(
            (w.name, w.model, _weights(w.card), w.host, str(w.pid), w.version or "-", up, slots, *numbers, state)
        )
    return align(rows)


def _weights(card: Card | None) -> str:
    """What they are, and what they were in the model's file where others were prepared from them."""
    if card is None or not card.quantisation:
        return "-"
    return f"{card.quantisation} (of {card.prepared_from})" if card.prepared_from else card.quantisation


def _batches(batches: list[UnfinishedBatch]) -> str:
    rows = [("BATCH", "KEY", "MODEL", "STATE", "DONE", "FAILED", "AGE")]
    for b in batches:
        done = f"{b.completed + b.failed} of {b.requests}" if b.requests else "-"
        age = span(time.time() - b.created)
        rows.append((b.id, b.key or "-", b.model or "-", b.status.replace("_", " "), done, str(b.failed), age))
    return align(rows)


def _gateways(unwell: list[GatewayProcess]) -> str:
    rows = [("GATEWAY", "PID", "UP", "STATE")]
    rows += [(g.host, str(g.pid), span(time.time() - g.since), f"not well: {g.reason}") for g in unwell]
    return align(rows)


def _failures(failures: list[Failure]) -> str:
    rows = [("FAILED", "MODEL", "JOB", "CODE", "REASON")]
    rows += [(f"{span(time.time() - f.at)} ago", f.model, f.job, f.code, f.message) for f in failures]
    return align(rows)
