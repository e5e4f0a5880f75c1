"""The overview of /v1/overview: a moment of queues, slots and workers, and the last hour. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.offers import Offer
from shared import history
from shared.card import Ability
from shared.census import Failure
from shared.history import Bucket
from shared.registry import GatewayProcess, Worker
from shared.survey import Load, Sight, Survey
from shared.version import VERSION


def render_moment(
    survey: Survey,
    offers: Sequence[Offer],
    workers: Sequence[Worker],
    waits: Mapping[str, float | None],
    failures: Iterable[Failure],
) -> dict[str, Any]:
    """What everybody is told who sees these jobs. `waits` says how long a request that came now would wait, by model.

    Times are Unix times in seconds, with their fractions.
    """
    told = {"running": survey.running, "queued": survey.queued}
    return {
        "object": "overview",
        "at": survey.at,
        "admin": False,
        "version": VERSION,
        "models": [_model(offer, survey, workers, waits[offer.card.id]) for offer in offers],
        "workers": [],
        "jobs": {
            **{state: [_job(sight, state) for sight in sights] for state, sights in told.items()},
            "more_running": survey.more_running,
            "more_queued": survey.more_queued,
        },
        "failures": [_failure(failure) for failure in failures],
        "gateways": [],
    }


def render_machines(survey: Survey, workers: Iterable[Worker], gateways: Iterable[GatewayProcess]) -> dict[str, Any]:
    """What only those are told who may see everything."""
    return {
        "admin": True,
        "workers": [_worker(worker, survey) for worker in workers],
        "gateways": [_gateway(process, survey.at) for process in gateways],
    }


def render_history(
    first: int, buckets: Sequence[Bucket], everybody: Sequence[Bucket], models: Iterable[str]
) -> dict[str, Any]:
    """Minute by minute from the one that begins at `first`."""
    known = sorted({*models, *(model for bucket in buckets for model in bucket)})
    return {"step": history.STEP, "from": first, "models": history.series(buckets, everybody, known)}


def _model(offer: Offer, survey: Survey, workers: Sequence[Worker], wait: float | None) -> dict[str, Any]:
    name, load = offer.card.id, survey.models[offer.card.id]
    cards = [worker.card for worker in workers if worker.model == name]
    return {
        "id": name,
        "status": offer.status,
        "abilities": [ability for ability in Ability if ability in offer.card.abilities],
        "slots": sum(card.slots for card in cards if card),
        "busy": load.running,
        "workers": sum(card is not None for card in cards),
        "unready_workers": cards.count(None),
        "queued": dict(load.queued),
        "running": load.running,
        "next_wait": None if wait is None else round(wait, 1),
        "minute": history.summary(survey.recent, name),
    }


def _worker(worker: Worker, survey: Survey) -> dict[str, Any]:
    card = worker.card or worker.outline
    load = survey.models.get(worker.model, Load({}, 0, {}))
    return {
        "name": worker.name,
        "model": worker.model,
        "host": worker.host,
        "pid": worker.pid,
        "state": "ready" if worker.card else "not_ready",
        "reason": worker.trouble or None,
        "engine": card.engine if card else None,
        "slots": card.slots if card else 0,
        "busy": load.workers.get(worker.name, 0),
        "threads": worker.threads or None,
        "memory_bytes": worker.memory_bytes or None,
        "load": worker.load,
        "uptime": max(0, int(survey.at) - worker.since),
        "version": worker.version,
        "context": (card.context if card else 0) or None,
        "quantisation": (card.quantisation if card else "") or None,
    }


def _gateway(process: GatewayProcess, at: float) -> dict[str, Any]:
    return {
        "host": process.host,
        "pid": process.pid,
        "uptime": max(0, int(at) - process.since),
        "ready": not process.reason,
        "reason": process.reason or None,
        "version": process.version,
    }


def _job(sight: Sight, state: str) -> dict[str, Any]:
    return {
        "id": sight.id,
        "model": sight.model,
        "owner": sight.owner or None,
        "tier": sight.tier,
        "state": state,
        "position": sight.position,
        "created": sight.created,
        "started": sight.started,
        "tokens": sight.tokens,
        "worker": sight.worker or None,
    }


def _failure(failure: Failure) -> dict[str, Any]:
    return {
        "at": failure.at,
        "job": failure.job,
        "model": failure.model,
        "owner": failure.owner or None,
        "code": failure.code,
        "message": failure.message,
    }
