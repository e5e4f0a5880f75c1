"""A rolling restart of everything under load loses nothing."""

from __future__ import annotations

from random import Random

from tests.chaos import plan, report, scenes
from tests.chaos.run import run


def test_a_rolling_restart_of_workers_and_gateway_loses_nothing() -> None:
    requests = [request for request in plan.echoes(Random(8), 1000, ("echo", "echo")) if request.leaves_after is None]
    outcome = run(scenes.rolling(lease=2), requests, Random(8), patient=False)
    assert [fault.kind for fault in outcome.faults] == ["SIGTERM worker", "SIGTERM worker", "SIGTERM gateway"]
    assert all(fault.hit for fault in outcome.faults[:2])
    assert list(report.broken_promises(outcome, least_hits=2)) == []
