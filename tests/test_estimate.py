"""What those who wait are told comes true, also where jobs differ and overtake each other."""

from __future__ import annotations

import re
import signal
import statistics
from collections.abc import Iterator

import pytest

from gateway.estimate import Outlook, TierQueue
from shared import scripts
from shared.ticket import Tier
from shared.tickets import Tickets
from tests.calls import CHATS, PROGRESS, chat, post_later
from tests.mixed_load import Replay, Told, on_a_clock, record
from tests.stack import Stack, running, wait_for

SEEDS = (1, 2, 3)
"""Of the records."""
TURN = re.compile(r": queued position=(\d+) wait=(\d+)s")


@pytest.fixture
def virtual(valkey: Stack, monkeypatch: pytest.MonkeyPatch) -> Tickets:
    """The real scripts on a clock that the test sets."""
    monkeypatch.setattr(scripts, "text", on_a_clock)
    valkey.redis.flushall()
    return Tickets(valkey.redis)


def error(told: list[Told]) -> float:
    """The median of the estimates' errors, as a share of the truth."""
    return statistics.median(abs(one.wait - one.truth) / one.truth for one in told)


def test_on_a_mixed_load_they_are_near_the_truth(virtual: Tickets) -> None:
    told: list[Told] = []
    for seed in SEEDS:
        virtual.client.flushall()
        replay = Replay(virtual, record(seed))
        replay.play()
        assert replay.preemptions > 50
        mean = statistics.mean(job.held for job in replay.arrivals)
        told += [one for one in replay.told if one.truth >= 2 * mean]
    assert error(told) < 0.3
    for tier in (Tier.DEFAULT, Tier.FLEX):  # nobody in a hurry waits for that long
        of_tier = [one for one in told if one.tier is tier]
        assert len(of_tier) > 400
        assert error(of_tier) < 0.3


def waits(outlook: Outlook, count: int) -> list[float]:
    return [outlook.wait(position) for position in range(1, count + 1)]


def test_each_waits_for_those_before_it_as_long_as_their_tier_takes() -> None:
    lines = [TierQueue(waiting=2, held=1), TierQueue(waiting=1, held=10), TierQueue(waiting=2, held=100)]
    assert waits(Outlook(lines, free=[5]), 7) == [5, 6, 7, 17, 117, 217, 317]
    assert waits(Outlook(lines, free=[5, 0]), 5) == [0, 1, 2, 5, 12]


def test_those_who_overtake_take_their_share_of_the_slots() -> None:
    lines = [
        TierQueue(waiting=1, held=2),
        TierQueue(waiting=1, held=2, overtaken=0.5),
        TierQueue(waiting=1, held=2, overtaken=0.75),
    ]
    assert waits(Outlook(lines, free=[2]), 3) == [2, 8, 24]


# --- the whole way


LONG, SHORT = "word " * 40, "one two"
"""2 s and a tenth of one, at 20 tokens a second."""


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One slot, which has served long answers and, later, ten short ones."""
    with running(tmp_path_factory.mktemp("estimate"), headers_after=0.2) as stack:
        stack.start_gateway()
        stack.start_worker(slots=1, echo_rate=20)
        http = stack.http()
        for text, tier, count in ((LONG, "flex", 2), (SHORT, "priority", 10)):
            for _ in range(count):
                assert http.post(CHATS, json=chat(text, service_tier=tier)).status_code == 200
        yield stack


def test_jobs_and_streams_tell_it(stack: Stack) -> None:
    http = stack.http()
    first = post_later(http, LONG, service_tier="flex")
    wait_for(lambda: stack.state(first) == "in_progress", "the start")
    stack.worker.send_signal(signal.SIGSTOP)  # it is not through before all are asked
    flex = [post_later(http, LONG, service_tier="flex") for _ in range(3)]
    jobs = [http.get(f"/v1/jobs/{job_id}").json() for job_id in flex]
    stack.worker.send_signal(signal.SIGCONT)
    seconds, micros = stack.redis.time()
    assert [job["queue_position"] for job in jobs] == [1, 2, 3]
    told = [job["estimated_wait"] for job in jobs]
    assert told == sorted(told)
    with http.stream("GET", f"/v1/jobs/{flex[2]}/events", headers=PROGRESS) as stream:
        lines = [line for line in stream.iter_lines() if ": queued" in line]
    turns = [TURN.fullmatch(line) for line in lines]
    positions = [int(turn[1]) for turn in turns if turn]
    waits = [int(turn[2]) for turn in turns if turn]
    assert len(positions) == len(lines)
    assert positions[0] == 3
    assert positions == sorted(positions, reverse=True)
    assert abs(waits[0] - told[2]) <= 2
    started = int(stack.redis.hget(f"iq:job:{flex[2]}", "started") or 0) / 1000
    truth = started - seconds - micros / 1e6
    assert truth / 2 <= told[2] <= truth * 2
