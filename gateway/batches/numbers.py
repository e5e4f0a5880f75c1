"""The numbers of batches for Prometheus: whoever feeds them tells them, in each process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class BatchNumbers:
    """What one process has seen, and done."""

    def __init__(self) -> None:
        own = CollectorRegistry()
        self._unfinished = Gauge(
            "inferq_unfinished_batches",
            "Batches that have not ended, as who looked last has seen it",
            registry=own,
            multiprocess_mode="mostrecent",
        )
        self._requests = Counter(
            "inferq_batch_requests",
            "Requests of batches that have ended: completed, or failed",
            ("outcome",),
            registry=own,
        )
        self.count(completed=0, failed=0)

    def tell(self, unfinished: int) -> None:
        """How many batches of all owners have not ended."""
        self._unfinished.set(unfinished)

    def count(self, *, completed: int, failed: int) -> None:
        """Requests whose results were recorded, each once."""
        self._requests.labels("completed").inc(completed)
        self._requests.labels("failed").inc(failed)
