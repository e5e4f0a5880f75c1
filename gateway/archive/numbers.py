"""The archive's numbers for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.archive.archive import Archive
from gateway.archive.thing import ThingKind
from shared.errors import ArchiveUnavailable

_KIND = ("kind",)


def _begin_at_zero(counter: Counter, *labels: str) -> None:
    """Tell them before anything is counted: the first is no rise to Prometheus where there was no number before."""
    for label in labels:
        counter.labels(label)


class ArchiveNumbers(Collector):
    """Collects what is stored; what happens to it is counted by each process."""

    def __init__(self, archive: Archive) -> None:
        own = CollectorRegistry()
        self._archive = archive
        self._removed = Counter(
            "inferq_archive_removed",
            "Things that went unasked: expired, made_room, or swept (blobs that nothing named)",
            ("reason",),
            registry=own,
        )
        self._errors = Counter(
            "inferq_archive_errors",
            "What could not be done: write, read, remove, housekeeping",
            ("work",),
            registry=own,
        )
        self._answers = Counter(
            "inferq_archive_answers",
            "Answers that were stored, refused for want of room, or failed to be stored and wait in Redis",
            ("outcome",),
            registry=own,
        )
        _begin_at_zero(self._removed, "expired", "made_room", "swept")
        _begin_at_zero(self._errors, "write", "read", "remove", "housekeeping")
        _begin_at_zero(self._answers, "stored", "refused", "failed")
        archive.on_removal = lambda reason, count: self._removed.labels(reason).inc(count)
        archive.on_error = lambda work: self._errors.labels(work).inc()

    def count_answer(self, outcome: str) -> None:
        """What became of one that was to be stored: `stored`, `refused` or `failed`."""
        self._answers.labels(outcome).inc()

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("inferq_archive_up", "Whether what is stored can be read; if not, it is missing here")
        things = GaugeMetricFamily("inferq_archive_things", "Things that are stored", labels=_KIND)
        size = GaugeMetricFamily("inferq_archive_bytes", "Bytes that are stored", labels=_KIND)
        try:
            for kind in ThingKind:
                held = self._archive.index.held(None, kind)
                things.add_metric((kind,), held.things)
                size.add_metric((kind,), held.size)
        except ArchiveUnavailable:
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield from (up, things, size)
