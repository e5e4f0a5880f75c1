"""What the last hour was like: how what the scripts count is read and told. See scripts/_history.lua.

What ends is counted in the step in which it ends, whoever computes it and whoever waits for it: requests, failed,
prompt_tokens, cached_tokens and output_tokens; how many fell in which class of `wait`, `first` (both in milliseconds
from the acceptance) and `speed` (hundredths of a token a second), as `<what>.<class>`. The sweeps add up queued, busy
and slots, and count their samples.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from redis import Redis

from shared.keys import Key

ALL = "*"
"""In the place of an owner."""
STEP = 60
"""Seconds of one value."""
STEPS = 60
"""Values that are told, the last one of the minute that is not over."""
COUNTS = ("requests", "failed", "prompt_tokens", "cached_tokens", "output_tokens")
GAUGES = ("queued", "busy", "slots")
_TIMES = {"first_token": ("first", 1000.0), "queue_wait": ("wait", 1000.0), "tokens_per_second": ("speed", 100.0)}
"""What is told, by which name it is counted, and its unit."""

Bucket = Mapping[str, Counter[str]]
"""By model, what was counted in some seconds."""


def read(client: Redis, starts: Iterable[int], owner: str) -> list[Bucket]:
    """The minutes that begin at these Unix times, of an owner or of all; in one round trip."""
    with client.pipeline(transaction=False) as pipe:
        for start in starts:
            pipe.hgetall(f"{Key.HISTORY}{STEP}:{start}:{owner}")
        return [bucket({name.decode(): value for name, value in found.items()}) for found in pipe.execute()]


def flat_bucket(flat: Sequence[str]) -> Bucket:
    """One of which fields and values come in turn."""
    return bucket(dict(zip(flat[::2], flat[1::2], strict=True)))


def bucket(fields: Mapping[str, Any]) -> Bucket:
    """Sort what was counted by models. What another version counts is passed over where it is no number."""
    models: dict[str, Counter[str]] = {}
    for field, value in fields.items():
        what, colon, model = field.partition(":")
        if colon and value.isdigit():
            models.setdefault(model, Counter())[what] = int(value)
    return models


def summary(buckets: Iterable[Bucket], model: str) -> dict[str, Any]:
    """What happened in all of them together; null where nothing was."""
    together = Counter[str]()
    for each in buckets:
        together.update(each.get(model, {}))
    told: dict[str, Any] = {name: together[name] for name in COUNTS}
    return told | {name: _quantiles(together, name) for name in _TIMES}


def series(buckets: Sequence[Bucket], everybody: Sequence[Bucket], models: Iterable[str]) -> dict[str, Any]:
    """One value a bucket, by model and name. What there is for all is told of `everybody`."""
    return {model: _series(buckets, everybody, model) for model in models}


def _series(buckets: Sequence[Bucket], everybody: Sequence[Bucket], model: str) -> dict[str, list[Any]]:
    own, all_ = ([each.get(model, Counter()) for each in of] for of in (buckets, everybody))
    told: dict[str, list[Any]] = {name: [each[name] for each in own] for name in COUNTS}
    told |= {name: [_mean(each, name) for each in all_] for name in GAUGES}
    for name in _TIMES:
        quantiles = [_quantiles(each, name) for each in own]
        for which in ("p50", "p95"):
            told[f"{name}_{which}"] = [found and found[which] for found in quantiles]
    return told


def _mean(counts: Counter[str], gauge: str) -> float | None:
    return round(counts[gauge] / counts["samples"], 2) if counts["samples"] else None


def _quantiles(counts: Counter[str], name: str) -> dict[str, float] | None:
    """What half, and 95 of 100, did not exceed; of a speed, what they reached at least."""
    what, unit = _TIMES[name]
    fields = ((field.partition("."), count) for field, count in counts.items())
    classes = sorted((int(number), count) for (of, _, number), count in fields if of == what and number.isdigit())
    if not classes:
        return None
    late = 0.05 if what == "speed" else 0.95
    return {"p50": _told(_quantile(classes, 0.5) / unit), "p95": _told(_quantile(classes, late) / unit)}


def _quantile(classes: Sequence[tuple[int, int]], part: float) -> float:
    """Within its class it is taken to lie where its rank does; a class is a quarter of an octave."""
    wanted = part * sum(count for _, count in classes)
    for number, count in classes:
        if wanted <= count:
            return 2.0 ** ((number - 1 + wanted / count) / 4) if number else 0.0
        wanted -= count
    raise AssertionError("a part of nothing")


def _told(number: float) -> float:
    """As exactly as it is known: with three digits, or more before the point."""
    return round(number, max(0, 2 - math.floor(math.log10(number)))) if number else 0.0
