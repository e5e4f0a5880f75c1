"""`inferq status` as tables, for people."""

from __future__ import annotations

import time

from inferq.batches.unfinished import UnfinishedBatch
from inferq.status import Status, reason, slots, state
from inferq.table import align, span
from shared.card import Card
from shared.census import Failure
from shared.registry import GatewayProcess

_SHOWN = 10
"""Failures in the table; JSON has all that are kept."""


def as_table(status: Status) -> str:
    """One for each kind of thing that there is."""
    parts = [_models(status) if status.models else "no models: no worker has been started yet"]
    parts += [_workers(status)] if status.workers else ["no live workers"]
    parts += [_unserved(status)] if any(reason(status, name) for name in status.models) else []
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
        if not cards and (told := state(status, name)):
            workers = told
        ended = (n.ended.get("completed", 0), n.ended.get("cancelled", 0), n.failed, n.recovered)
        rows.append((name, workers, *map(str, (slots(status, name), n.running, n.queued, *ended))))
    return align(rows)


def _unserved(status: Status) -> str:
    """Models that cannot be loaded; a table of its own, for reasons are long."""
    rows = [("MODEL", "WHY IT CANNOT BE SERVED")]
    rows += [(name, why) for name in status.models if (why := reason(status, name))]
    return align(rows)


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
