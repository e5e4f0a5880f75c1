"""Who lives no longer is forgotten, and what was kept for him goes with him; what others need stays."""

from __future__ import annotations

from typing import Any

import pytest

from shared import census, registry
from shared.card import Card
from shared.config import ConfigError
from shared.protocol import State
from shared.registry import GatewayProcess, Kind, Worker
from shared.scripts import script
from shared.ticket import Attempt, Sighting
from shared.tickets import Tickets
from tests.transitions import END, append, claim, dequeue, forget, lapse, submit, sweep

WAITS = Attempt("print")
PROMISED = Attempt("print", waits=False)
DEAD, LIVING = "iq:reply:dead", "iq:reply:living"


def announce(tickets: Tickets, *names: str) -> None:
    for name in names:
        registry.announce_gateway(tickets.client, GatewayProcess(name, "h", 1, 1), 4000)
        script(tickets.client, "listen")(keys=[], args=[name, 60, "0-0"])


def bury(tickets: Tickets, kind: Kind, *names: str) -> None:
    tickets.client.zadd(f"iq:live:{kind}", dict.fromkeys(names, 1))


def left(tickets: Tickets) -> set[str]:
    return {key.decode() for key in tickets.client.scan_iter() if key != b"iq:lapse"}


def lingering(tickets: Tickets) -> set[bytes]:
    found: Any = tickets.client.zrange("iq:lingering:m", 0, -1)
    return set(found)


def test_with_a_gateway_its_clients_go_and_not_those_of_others(tickets: Tickets) -> None:
    announce(tickets, DEAD, LIVING)
    for job_id in ("alone", "shared", "followed", "ending"):
        submit(tickets, job_id, reply=DEAD, attempt=WAITS)
    submit(tickets, "promised", reply=DEAD, attempt=PROMISED)
    tickets.attach(LIVING, [Sighting("shared", 0, "", "v"), Sighting("followed", 0, "", "")])
    tickets.cancel("ending")
    bury(tickets, Kind.GATEWAYS, DEAD)
    lapse(tickets)
    assert lingering(tickets) == {b"alone"}
    assert tickets.client.hmget("iq:job:shared", "reply", "waiting") == [LIVING.encode(), f"v@{LIVING}".encode()]
    lapse(tickets)  # once it has no jobs left
    assert {key for key in left(tickets) if DEAD in key} == set()
    assert tickets.get("followed").state is State.QUEUED
    assert {key for key in left(tickets) if LIVING in key} >= {LIVING, f"{LIVING}:jobs"}
    assert [process.name for process in registry.gateways(tickets.client)] == [LIVING]
    tickets.client.zadd("iq:lingering:m", {"alone": 1})
    sweep(tickets)
    states = [tickets.get(job_id).state for job_id in ("alone", "shared", "promised")]
    assert states == [State.CANCELLED, State.QUEUED, State.QUEUED]
    bury(tickets, Kind.GATEWAYS, LIVING)
    lapse(tickets)
    assert lingering(tickets) == {b"shared", b"followed"}


def test_a_job_whose_gateway_died_goes_on_for_a_client_that_comes_again(tickets: Tickets) -> None:
    announce(tickets, DEAD, LIVING)
    submit(tickets, "a", reply=DEAD, attempt=Attempt("print", idempotency="key"))
    bury(tickets, Kind.GATEWAYS, DEAD)
    lapse(tickets)
    assert submit(tickets, "b", reply=LIVING, attempt=Attempt("print", 1, "key")) == "a"
    assert lingering(tickets) == set()


def test_after_an_outage_everybody_has_a_moment_to_say_that_he_lives(tickets: Tickets) -> None:
    announce(tickets, DEAD)
    bury(tickets, Kind.GATEWAYS, DEAD)
    tickets.lapse()  # nobody has looked for 3 s
    assert DEAD in left(tickets)
    hold: Any = tickets.client.hget("iq:lapse", "hold")
    now, _ = tickets.client.time()
    assert 0 < int(hold) - now * 1000 <= 11_000


def test_nobody_is_believed_for_longer_than_he_was_meant_to_be(tickets: Tickets) -> None:
    announce(tickets, LIVING)
    now, _ = tickets.client.time()
    tickets.client.zadd("iq:live:gateways", {LIVING: (now + 3600) * 1000})  # the clock has jumped back
    lapse(tickets)
    until: Any = tickets.client.zscore("iq:live:gateways", LIVING)
    assert until <= (now + registry.GATEWAY_TTL + 10) * 1000


def test_with_a_worker_its_registration_goes(tickets: Tickets) -> None:
    registry.announce(tickets.client, Worker("w", "m", "h", 1, 1))
    for key in ("rq:workers", "rq:workers:m"):
        tickets.client.sadd(key, "rq:worker:w", "rq:worker:another")
    bury(tickets, Kind.WORKERS, "w")
    lapse(tickets)
    assert registry.workers(tickets.client) == []
    assert "iq:card:workers:w" not in left(tickets)
    assert tickets.client.smembers("rq:workers") == tickets.client.smembers("rq:workers:m") == {b"rq:worker:another"}


def test_with_a_model_its_keys_go_once_its_jobs_have_ended(tickets: Tickets) -> None:
    registry.announce(tickets.client, Worker("w", "m", "h", 1, 1, Card("m", "echo", "", 100, 1, 1)))
    for job_id in ("a", "b"):
        submit(tickets, job_id)
        dequeue(tickets)
        claim(tickets, job_id, job_id)
    append(tickets, "a", "a", 1, END)
    bury(tickets, Kind.MODELS, "m")
    lapse(tickets)
    assert registry.models(tickets.client) == {}
    assert {"rq:queues", "iq:counts:m", "iq:leases:m"} <= left(tickets)
    append(tickets, "b", "b", 1, END)
    forget(tickets)
    ending = {key for key in left(tickets) if tickets.client.ttl(key) > 0}
    assert left(tickets) - ending == {"iq:live:workers", "iq:card:workers:w", "iq:slots:m"}


def test_what_was_counted_of_a_model_that_was_never_served_stays_for_a_while(tickets: Tickets) -> None:
    submit(tickets, "a")
    tickets.cancel("a")
    sweep(tickets)
    lapse(tickets)
    assert census.numbers(tickets.client, census.models(tickets.client))["m"].ended == {"cancelled": 1}
    submit(tickets, "b")
    lapse(tickets)
    assert not tickets.client.hexists("iq:counts:m", "unneeded")
    tickets.cancel("b")
    sweep(tickets)
    forget(tickets)
    assert census.models(tickets.client) == set()
    assert "iq:counts:m" not in left(tickets)


def test_a_process_with_another_lease_is_not_announced_among_the_living(tickets: Tickets) -> None:
    announce(tickets, LIVING)
    with pytest.raises(ConfigError, match="LEASE is 5 here, and 4 for the others"):
        registry.announce(tickets.client, Worker("w", "m", "h", 1, 1), 5000)
    assert registry.workers(tickets.client) == []
    bury(tickets, Kind.GATEWAYS, LIVING)
    registry.announce(tickets.client, Worker("w", "m", "h", 1, 1), 5000)
    assert tickets.client.get("iq:lease") == b"5000"


def test_another_version_that_looks_too_does_not_keep_this_one_from_looking(tickets: Tickets) -> None:
    """It looks as often, and says so in fields of its own: it does not see what this version has to."""
    registry.announce(tickets.client, Worker("w", "m", "h", 1, 1, version="0.2.0", wire=2), 4000)
    for record in ("iq:lapse", "iq:sweep:m"):
        seconds, micros = tickets.client.time()
        now = str(seconds * 1000 + micros // 1000)
        tickets.client.hset(record, mapping={"last": now, "ours": now})
    tickets.lapse()
    assert tickets.client.exists("iq:former")
    tickets.sweep("m", 4000)
    assert tickets.client.hexists("iq:sweep:m", "counts")
