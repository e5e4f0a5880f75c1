"""The numbers for Prometheus.

What happens to requests is counted here, by each process in a file of its own (see samples.py), and added up over the
processes when somebody asks. What happens to jobs is counted in Redis, and read there.
"""

from __future__ import annotations

from functools import partial
from weakref import WeakSet

from gevent import Greenlet
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from redis import Redis

from gateway.dispatch import Job
from gateway.redis_metrics import RedisMetrics
from gateway.single_flight import SingleFlight
from shared.protocol import Done

_TO_FIRST = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5)
_OPEN_METRICS = "application/openmetrics-text"
_MODEL = ("model",)


class Metrics:
    """The numbers of this process and, when they are rendered, those of all processes of the gateway and of Redis."""

    def __init__(self, client: Redis) -> None:
        own = CollectorRegistry()
        self._requests = Counter(
            "inferq_requests",
            "Requests, by how they ended: completed, accepted (to be polled for), client_gone, or an error's code",
            ("endpoint", "model", "outcome"),
            registry=own,
        )
        self._to_first = Histogram(
            "inferq_time_to_first_token_seconds",
            "From a request's acceptance to its first text",
            _MODEL,
            buckets=_TO_FIRST,
            registry=own,
        )
        self._per_token = Histogram(
            "inferq_time_per_output_token_seconds",
            "From a request's first text to its last, for each of its tokens after the first",
            _MODEL,
            buckets=_PER_TOKEN,
            registry=own,
        )
        self._loop_errors = Counter(
            "inferq_loop_errors", "How often a loop of the gateway has failed, and gone on", ("loop",), registry=own
        )
        self._greenlets = Gauge(
            "inferq_gateway_greenlets",
            "Greenlets that are there: of connections, loops and what they have begun",
            registry=own,
            multiprocess_mode="sum",
        )
        self._there: WeakSet[Greenlet] = WeakSet()
        Greenlet.add_spawn_callback(self._there.add)
        self._collectors: list[Collector] = [RedisMetrics(client)]
        self._renderings = {
            is_open: SingleFlight(partial(self._render, _OPEN_METRICS if is_open else "")) for is_open in (False, True)
        }

    def add(self, collector: Collector) -> None:
        """Of what is known elsewhere, and the same in all processes."""
        self._collectors.append(collector)

    def look(self) -> None:
        """Note what there is in this process now."""
        self._greenlets.set(len(self._there))

    def count(self, endpoint: str, model: str, outcome: str) -> None:
        """A request has ended. All three come from sets that requests cannot add to."""
        self._requests.labels(endpoint, model, outcome).inc()

    def count_loop_errors(self, loop: str, by: int) -> None:
        """A loop of this process has failed so many times more; when it starts, never."""
        self._loop_errors.labels(loop).inc(by)

    def measure(self, job: Job) -> None:
        """Measure an answer, as far as it came."""
        box, model = job.mailbox, job.accepted.task.model
        if box.arrived is None:
            return
        first, last = box.arrived
        self._to_first.labels(model).observe(first - box.opened)
        if isinstance(box.last, Done) and (further := box.last.usage.completion_tokens - 1) > 0:
            self._per_token.labels(model).observe((last - first) / further)

    def render(self, accept: str) -> tuple[bytes, str]:
        """All metrics and their content type: of OpenMetrics where the header Accept names it, else Prometheus' own."""
        return self._renderings[_OPEN_METRICS in accept]()

    def _render(self, accept: str) -> tuple[bytes, str]:
        everything = CollectorRegistry()
        MultiProcessCollector(everything)  # type: ignore[no-untyped-call]  # it has no annotations
        for collector in self._collectors:
            everything.register(collector)
        # The library fails on odd versions there, and repeats them in its answer.
        encode, content_type = choose_encoder(accept)
        return encode(everything), content_type
