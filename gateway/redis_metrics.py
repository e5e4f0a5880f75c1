"""What Redis knows of jobs, workers and machines, as numbers for Prometheus: read when somebody asks."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from redis import Redis

from gateway.estimate import Estimator
from shared import agents, census, registry
from shared.census import Numbers
from shared.store import Outage
from shared.ticket import Tier
from shared.tickets import Tickets

_MODEL, _TIER = ("model",), ("model", "tier")


class RedisMetrics(Collector):
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
    left = HistogramMetricFamily(
        "inferq_placement_wait_seconds", "From when jobs were left for their readers to their start", labels=_MODEL
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
        for family, classes, seconds in ((waits, n.waits, n.waited), (left, n.left, n.left_seconds)):
            family.add_metric((name,), list(zip(bounds, accumulate(classes), strict=True)), seconds)
        for whom, count in n.placed.items():
            placed.add_metric((name, whom), count)
    return iter((queued, running, held, ended, recovered, prompts, cached, outputs, waits, placed, left))
