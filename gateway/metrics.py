"""The numbers for Prometheus.

What happens to requests is counted here, by each process in a file of its own (see samples.py), and added up over the
processes when somebody asks. What happens to jobs is counted in Redis, and read there.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import accumulate
from weakref import WeakSet

from gevent import Greenlet
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, SummaryMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from redis import Redis

from gateway.dispatch import Job
from gateway.estimate import Estimator
from gateway.single_flight import SingleFlight
from shared import agents, census, registry
from shared.census import Numbers
from shared.protocol import Done
from shared.store import Outage
from shared.ticket import Tier
from shared.tickets import Tickets

_TO_FIRST = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5)
_OPEN_METRICS = "application/openmetrics-text"
_MODEL, _TIER = ("model",), ("model", "tier")


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
        self._collectors: list[Collector] = [_Jobs(client)]
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


class _Jobs(Collector):
    """What Redis knows: the same at every gateway, whoever computes a job and whoever waits for it."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._estimator = Estimator(Tickets(client))

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("inferq_redis_up", "Whether Redis answers; if not, what it knows is missing here")
        try:
            workers = registry.workers(self._client)
            names = census.models(self._client) | registry.models(self._client).keys() | {w.model for w in workers}
            machines = agents.agents(self._client)
            numbers = census.numbers(self._client, names)
            waiting = GaugeMetricFamily(
                "inferq_unarchived_answers",
                "Answers that have ended and wait to be stored",
                census.unarchived(self._client),
            )
        except Outage:
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        yield waiting
        yield from _of_agents(machines)
        yield from _of_workers(names, workers)
        yield _of_loops(workers)
        yield self._waits(numbers, workers)
        yield from _of_jobs(numbers)

    def _waits(self, numbers: dict[str, Numbers], workers: Iterable[registry.Worker]) -> Metric:
        waits = GaugeMetricFamily(
            "inferq_next_wait_seconds",
            "How long a request would wait that came now, where that is known",
            labels=_MODEL,
        )
        slots = Counts[str]()
        for worker in workers:
            slots[worker.model] += worker.card.slots if worker.card else 0
        for name, n in numbers.items():
            before = n.waiting[Tier.PRIORITY] + n.waiting[Tier.DEFAULT]
            wait = self._estimator.next_wait(name, before, n.running, slots[name])
            if wait is not None:
                waits.add_metric((name,), wait)
        return waits


def _of_workers(names: Iterable[str], workers: Iterable[registry.Worker]) -> Iterator[Metric]:
    live = GaugeMetricFamily("inferq_live_workers", "Workers that serve", labels=_MODEL)
    unready = GaugeMetricFamily("inferq_unready_workers", "Workers that have not loaded their model", labels=_MODEL)
    slots = GaugeMetricFamily("inferq_slots", "Slots of the workers that serve", labels=_MODEL)
    for name in sorted(names):
        cards = [worker.card for worker in workers if worker.model == name]
        live.add_metric((name,), sum(card is not None for card in cards))
        unready.add_metric((name,), cards.count(None))
        slots.add_metric((name,), sum(card.slots for card in cards if card))
    return iter((live, unready, slots))


def _of_agents(machines: Iterable[agents.Agent]) -> Iterator[Metric]:
    memory = GaugeMetricFamily(
        "inferq_agent_memory_bytes", "Memory for models on demand, and what is free of it", labels=("agent", "kind")
    )
    state = GaugeMetricFamily(
        "inferq_model_state", "Models on demand by state, on how many machines", labels=("model", "state")
    )
    counts = Counts[tuple[str, str]]()
    for machine in machines:
        memory.add_metric((machine.name, "budget"), machine.budget)
        memory.add_metric((machine.name, "free"), machine.free)
        counts.update((each.outline.id, each.state) for each in machine.models)
    for labels, count in sorted(counts.items()):
        state.add_metric(labels, count)
    return iter((memory, state))


def _of_loops(workers: Iterable[registry.Worker]) -> Metric:
    errors = CounterMetricFamily(
        "inferq_worker_loop_errors",
        "How often a loop of a live worker has failed, and gone on",
        labels=("model", "loop"),
    )
    counts = Counts[tuple[str, str]]()
    for worker in workers:
        counts.update({(worker.model, loop): count for loop, count in worker.loop_errors.items()})
    for labels, count in counts.items():
        errors.add_metric(labels, count)
    return errors


def _of_jobs(numbers: dict[str, Numbers]) -> Iterator[Metric]:
    queued = GaugeMetricFamily("inferq_queued_jobs", "Jobs that wait", labels=_TIER)
    running = GaugeMetricFamily("inferq_running_jobs", "Jobs that are computed", labels=_MODEL)
    ended = CounterMetricFamily(
        "inferq_jobs",
        "Jobs that have ended, by outcome: completed, cancelled, or an error's code",
        labels=("model", "outcome"),
    )
    recovered = CounterMetricFamily("inferq_recoveries", "Jobs put back because their worker was lost", labels=_MODEL)
    prompts = CounterMetricFamily("inferq_prompt_tokens", "Tokens of the prompts of completed jobs", labels=_MODEL)
    cached = CounterMetricFamily(
        "inferq_cached_prompt_tokens", "Those of them that had been read for an earlier job", labels=_MODEL
    )
    outputs = CounterMetricFamily("inferq_output_tokens", "Tokens of the answers of completed jobs", labels=_MODEL)
    waits = HistogramMetricFamily(
        "inferq_queue_wait_seconds", "From the acceptance of jobs that have ended to their start", labels=_MODEL
    )
    held = CounterMetricFamily("inferq_slot_seconds", "For how long jobs that have ended held slots", labels=_TIER)
    placed = CounterMetricFamily(
        "inferq_placements",
        "Jobs begun where several workers serve: by the reader of the most of their prompt, an other one, or any",
        labels=("model", "worker"),
    )
    left = SummaryMetricFamily(
        "inferq_placement_wait_seconds", "From when jobs were left for their readers to their start", labels=_MODEL
    )
    longest = GaugeMetricFamily(
        "inferq_longest_placement_wait_seconds", "The longest time from when a job was left to its start", labels=_MODEL
    )
    bounds = (*map(str, census.BOUNDS), "+Inf")
    for name, n in numbers.items():
        for tier, count in n.waiting.items():
            queued.add_metric((name, tier), count)
        for tier, seconds in n.held.items():
            held.add_metric((name, tier), seconds)
        running.add_metric((name,), n.running)
        for outcome, count in ({"completed": 0, "cancelled": 0} | n.ended).items():
            ended.add_metric((name, outcome), count)
        recovered.add_metric((name,), n.recovered)
        prompts.add_metric((name,), n.prompt_tokens)
        cached.add_metric((name,), n.cached_tokens)
        outputs.add_metric((name,), n.completion_tokens)
        waits.add_metric((name,), list(zip(bounds, accumulate(n.waits), strict=True)), n.waited)
        for whom, count in n.placed.items():
            placed.add_metric((name, whom), count)
        left.add_metric((name,), n.left, n.left_seconds)
        longest.add_metric((name,), n.left_most)
    return iter((queued, running, held, ended, recovered, prompts, cached, outputs, waits, placed, left, longest))
