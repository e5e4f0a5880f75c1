"""The overview: what goes on and what went on, for who may see it all, or for one owner. See shared/survey.py."""

from __future__ import annotations

from typing import Any

from redis import Redis

from gateway.directory import Directory
from gateway.estimate import Estimator
from gateway.history import TAIL, Hours, first_minute, minute
from gateway.keys import Owner
from gateway.schemas.overview import render_history, render_machines, render_moment
from shared import census, registry
from shared.history import ALL, STEP
from shared.survey import Load, Survey, Surveyor
from shared.ticket import Tier

MOST_TOLD = 50
"""Running jobs, waiting ones, and failures that are told, the latest of these."""
_MOST_FAILURES = 100
"""As many as Redis keeps."""


def scope(owner: Owner) -> str:
    """Whose jobs somebody sees: an owner's, or those of all."""
    return ALL if owner.admin else owner.name


class Overviews:
    """Looks at Redis, for this process."""

    def __init__(self, client: Redis, directory: Directory, estimator: Estimator) -> None:
        self._client = client
        self._directory = directory
        self._estimator = estimator
        self._surveyor = Surveyor(client)
        self._hours = Hours(client)

    def whole(self, whose: str) -> dict[str, Any]:
        """The moment and the last hour. Raises what Redis does."""
        survey, told = self._moment(whose, afresh=True)
        buckets = self._hours.read(whose, survey.at, survey.tail)
        everybody = buckets if whose == ALL else self._hours.read(ALL, survey.at, survey.tail_of_all)
        return {**told, "history": render_history(first_minute(survey.at), buckets, everybody, survey.models)}

    def news(self, whose: str) -> dict[str, Any]:
        """The moment, and of the last hour what has changed. Raises what Redis does."""
        survey, told = self._moment(whose, afresh=False)
        first = minute(survey.at) - (TAIL - 1) * STEP
        return {**told, "history_tail": render_history(first, survey.tail, survey.tail_of_all, survey.models)}

    def _moment(self, whose: str, *, afresh: bool) -> tuple[Survey, dict[str, Any]]:
        offers, workers = self._directory.look_around(afresh=afresh)
        survey = self._surveyor.look([offer.card.id for offer in offers], whose, MOST_TOLD)
        failures = [
            failure for failure in census.failures(self._client, _MOST_FAILURES) if whose in (ALL, failure.owner)
        ]
        slots = {offer.card.id: 0 for offer in offers}
        for worker in workers:
            if worker.card and worker.model in slots:
                slots[worker.model] += worker.card.slots
        waits = {model: self._wait(model, survey.models[model], slots[model]) for model in slots}
        told = render_moment(survey, offers, workers, waits, failures[:MOST_TOLD])
        if whose == ALL:
            told |= render_machines(survey, workers, registry.gateways(self._client))
        return survey, told

    def _wait(self, model: str, load: Load, slots: int) -> float | None:
        """Seconds that a usual request would wait which came now; None where nobody can tell."""
        before = load.queued[Tier.PRIORITY] + load.queued[Tier.DEFAULT]
        return self._estimator.next_wait(model, before, load.running, slots)
