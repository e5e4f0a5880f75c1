"""What `inferq status --watch` shows of an overview: see gateway/schemas/overview.py for its shape."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from inferq.batches.unfinished import UnfinishedBatch
from inferq.table import printable, span
from inferq.watch import marks
from inferq.watch.marks import Ink
from inferq.watch.page import Cell, Column, Section

MOST_JOBS = 10
"""Running jobs that are named, and waiting ones."""
_WIDE, _USUAL, _NARROW = 110, 72, 50
"""Letters of terminals, of which the wider ones tell more."""
_BAR = 4
"""Letters of a meter, of which wide terminals have twice as many."""

_MODELS = (
    Column("MODEL", loose=True),
    Column("WORKERS", width=_WIDE),
    Column("SLOTS"),
    Column("QUEUED"),
    Column("WAIT", right=True, width=_NARROW),
    Column("ENDED", right=True, width=_NARROW),
    Column("FAILED", right=True, width=_NARROW),
    Column("1ST TOKEN", width=_USUAL),
    Column("TOKENS/S", width=_USUAL),
    Column("PREFIX HITS", right=True, width=_WIDE),
)
_HOUR = (
    Column("LAST HOUR", loose=True),
    Column("REQUESTS A MINUTE", part=2),
    Column("", right=True, width=_NARROW),
    Column("TOKENS/S", part=2),
    Column("", right=True, width=_NARROW),
)
_WORKERS = (
    Column("WORKER", width=_WIDE, loose=True),
    Column("MODEL"),
    Column("HOST", width=_WIDE),
    Column("PID", right=True, width=_NARROW),
    Column("SLOTS"),
    Column("THREADS", right=True, width=_USUAL),
    Column("LOAD", right=True, width=_USUAL),
    Column("MEMORY", right=True, width=_USUAL),
    Column("UP", right=True, width=_NARROW),
    Column("STATE", loose=True),
)
_JOBS = (
    Column("JOB", loose=True),
    Column("MODEL"),
    Column("KEY", width=_USUAL),
    Column("TIER", width=_WIDE),
    Column("TOKENS", right=True, width=_NARROW),
    Column("STATE"),
    Column("WORKER", width=_WIDE),
)
_GATEWAYS = (
    *(Column("GATEWAY"), Column("PID", right=True, width=_NARROW), Column("UP", right=True)),
    Column("STATE", loose=True),
)
_BATCHES = (
    *(Column("BATCH", loose=True), Column("KEY", width=_WIDE), Column("MODEL", width=_USUAL), Column("STATE")),
    *(Column("DONE", right=True), Column("FAILED", right=True, width=_USUAL), Column("AGE", right=True)),
)
_FAILURES = (
    Column("FAILED", right=True),
    Column("MODEL", width=_NARROW),
    Column("JOB", width=_WIDE),
    Column("CODE", width=_USUAL),
    Column("REASON", loose=True),
)


def head(overview: dict[str, Any], trouble: str) -> Table:
    """The first line: of when the page is, and what keeps it from being of now."""
    told = Text.assemble(
        ("inferq ", "bold"),
        printable(overview["version"]),
        time.strftime("  %H:%M:%S  ", time.localtime(overview["at"])),
        (printable(trouble), "bold red") if trouble else ("the last minute; times and speeds: p50 / p95", "dim"),
    )
    line = Table.grid(expand=True, padding=(0, 1))
    line.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    line.add_column(no_wrap=True, justify="right")
    line.add_row(told, Text("q ends", style="dim"))
    return line


def sections(overview: dict[str, Any], batches: Sequence[UnfinishedBatch], width: int, ink: Ink) -> list[Section]:
    """In the order in which they are shown."""
    models, jobs, workers = overview["models"], overview["jobs"], overview["workers"]
    bar = 2 * _BAR if width >= _WIDE else _BAR
    running, queued = jobs["running"], jobs["queued"]
    named = [*running[:MOST_JOBS], *queued[:MOST_JOBS]]
    unnamed = len(running) + len(queued) - len(named) + jobs["more_running"] + jobs["more_queued"]
    unwell = [gateway for gateway in overview["gateways"] if not gateway["ready"]]
    names = [model["id"] for model in models]
    shown = [
        Section(
            0, _MODELS, [_model(model, bar, ink) for model in models], none="no models: no worker has been started yet"
        ),
        Section(4, _HOUR, list(_hours(names, overview["history"]["models"], width, ink))),
        Section(1, _WORKERS, [_worker(worker, bar, ink) for worker in workers], none="no live workers"),
        Section(1, _GATEWAYS, [_gateway(gateway) for gateway in unwell]),
        Section(2, _JOBS, [_job(job, overview["at"]) for job in named], unnamed),
        Section(5, _BATCHES, [_batch(batch, overview["at"]) for batch in batches]),
        Section(3, _FAILURES, [_failure(failure, overview["at"]) for failure in overview["failures"]]),
    ]
    return [section for section in shown if section.rows or section.none]


def _model(model: dict[str, Any], bar: int, ink: Ink) -> list[Cell]:
    minute = model["minute"]
    of = f" of {model['workers'] + model['unready_workers']}" if model["unready_workers"] else ""
    return [
        Text(printable(model["id"]), style="bold"),
        f"{model['workers']}{of}",
        _slots(model["busy"], model["slots"], bar, ink),
        _queued(model["queued"], whole=bar > _BAR),
        marks.wait(model["next_wait"]),
        str(minute["requests"]),
        _count(minute["failed"]),
        marks.quantiles(minute["first_token"], " s"),
        marks.quantiles(minute["tokens_per_second"]),
        marks.share(minute["cached_tokens"], minute["prompt_tokens"]),
    ]


def _hours(names: Sequence[str], history: dict[str, Any], width: int, ink: Ink) -> Iterator[list[Cell]]:
    room = min(60, (width - 30) // 2)
    for name in names:
        if (hour := history.get(name)) and room > 0:
            requests, speeds = hour["requests"], hour["tokens_per_second_p50"]
            yield [
                name,
                Text(marks.curve(requests, room, ink), style="cyan"),
                marks.peak(requests),
                Text(marks.curve(speeds, room, ink), style="green"),
                marks.peak(speeds),
            ]


def _worker(worker: dict[str, Any], bar: int, ink: Ink) -> list[Cell]:
    ready = worker["state"] == "ready"
    return [
        worker["name"],
        worker["model"],
        worker["host"],
        str(worker["pid"]),
        _slots(worker["busy"], worker["slots"], bar, ink),
        marks.number(worker["threads"]),
        marks.number(worker["load"]),
        marks.size(worker["memory_bytes"]),
        span(worker["uptime"]),
        Text("ready", style="green") if ready else _warning(f"not ready: {worker['reason'] or 'it starts'}"),
    ]


def _gateway(gateway: dict[str, Any]) -> list[Cell]:
    reason = _warning(f"not well: {gateway['reason']}")
    return [gateway["host"], str(gateway["pid"]), span(gateway["uptime"]), reason]


def _job(job: dict[str, Any], at: float) -> list[Cell]:
    runs = job["started"] is not None
    since = span(at - (job["started"] if runs else job["created"]))
    place = f"{job['position']}. " if job["position"] else ""
    state = Text(f"runs {since}", style="green") if runs else Text(f"{place}waits {since}", style="yellow")
    return [
        *(job["id"], job["model"], job["owner"] or "-", job["tier"], str(job["tokens"]) if runs else "-", state),
        job["worker"] or "-",
    ]


def _batch(batch: UnfinishedBatch, at: float) -> list[Cell]:
    done = f"{batch.completed + batch.failed} of {batch.requests}" if batch.requests else "-"
    state, age = batch.status.replace("_", " "), span(at - batch.created)
    return [batch.id, batch.key or "-", batch.model or "-", state, done, _count(batch.failed), age]


def _failure(failure: dict[str, Any], at: float) -> list[Cell]:
    ago = f"{span(at - failure['at'])} ago"
    return [ago, failure["model"], failure["job"], Text(printable(failure["code"]), style="red"), failure["message"]]


def _queued(tiers: dict[str, int], *, whole: bool) -> str:
    """How many wait in which tier, by its name or first letter."""
    return "  ".join(f"{count} {tier if whole else tier[0]}" for tier, count in tiers.items() if count) or "none"


def _slots(busy: int, slots: int, bar: int, ink: Ink) -> Text:
    full = "yellow" if slots and busy >= slots else "green"
    return Text.assemble((marks.meter(busy, slots, bar, ink), full), f" {busy}/{slots}")


def _count(failed: int) -> Text:
    return Text(str(failed), style="bold red" if failed else "")


def _warning(text: str) -> Text:
    return Text(printable(text), style="yellow")
