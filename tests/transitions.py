"""Transitions of jobs of the model `m`, in short, for tests of the scripts."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from redis import ResponseError

from shared.addition import addition
from shared.protocol import Accepted, Completion, Done, Event, Sampling, State, Usage
from shared.registry import MODEL_TTL
from shared.ticket import NOBODY, ORDINARY, Attempt, Claim, LeftForOthers, Standing
from shared.tickets import Tickets

ACCEPTED = Accepted(Completion("m", ("once upon a time",), Sampling(seed=7)), created=1, owner="o")
END = Done(Usage(4, 1))
LEASE = 60_000


def submit(
    tickets: Tickets,
    job_id: str,
    *,
    owner: str = "o",
    reply: str = "",
    most: int = 10,
    wait: float = 60,
    attempt: Attempt = NOBODY,
    standing: Standing = ORDINARY,
) -> str:
    accepted = replace(ACCEPTED, owner=owner)
    options: dict[str, Any] = {"max_queue": most, "wait": wait, "keep": 60, "attempt": attempt, "standing": standing}
    return tickets.submit(job_id, accepted, reply=reply, **options)


def dequeue(tickets: Tickets) -> str:
    entry: Any = tickets.client.lmove("rq:queue:m", "rq:queue:m:intermediate", "LEFT", "RIGHT")
    return str(entry.decode())


def claim(tickets: Tickets, permit: str, execution: str, lease_ms: int = LEASE) -> Claim | None:
    claimed = tickets.claim("m", permit, execution, lease_ms=lease_ms, worker="w")
    assert not isinstance(claimed, LeftForOthers), "there is no other worker"
    return claimed


def start(tickets: Tickets, job_id: str, execution: str, lease_ms: int = LEASE) -> None:
    submit(tickets, job_id)
    assert dequeue(tickets) == job_id
    assert claim(tickets, job_id, execution, lease_ms)


def append(
    tickets: Tickets,
    job_id: str,
    execution: str,
    first: int,
    *events: Event,
    state: State | None = None,
    model: str = "m",
) -> tuple[int, int]:
    [answer] = tickets.append(model, [addition(job_id, execution, first=first, events=events)])
    assert not isinstance(answer, ResponseError), answer
    return answer


def sweep(tickets: Tickets, lease_ms: int = LEASE) -> int:
    """A sweep that is not the first after an outage, and not held back by one a moment ago."""
    due(tickets)
    return tickets.sweep("m", lease_ms)


def due(tickets: Tickets) -> None:
    """Have the next sweep be such a one."""
    now, _ = tickets.client.time()
    tickets.client.hset("iq:sweep:m", mapping={"last": now * 1000 - 1500, "hold": 0})


def lapse(tickets: Tickets) -> None:
    """One that is not the first after an outage, and not held back by one a moment ago."""
    now, _ = tickets.client.time()
    tickets.client.hset("iq:lapse", mapping={"last": now * 1000 - 1500, "hold": 0})
    tickets.lapse()


def forget(tickets: Tickets) -> None:
    """The one that finds that the model is needed no longer, and one when its time is over."""
    lapse(tickets)
    since: Any = tickets.client.hget("iq:counts:m", "unneeded")
    tickets.client.hset("iq:counts:m", "unneeded", int(since) - 1000 * MODEL_TTL)
    lapse(tickets)


def queue(tickets: Tickets) -> list[str]:
    """The waiting jobs, in the order in which they are served."""
    ids: Any = tickets.client.zrange("iq:deadlines:m", 0, -1)
    return sorted((job_id.decode() for job_id in ids), key=lambda job_id: tickets.position(job_id) or 0)


def permits(tickets: Tickets) -> list[str]:
    entries: Any = tickets.client.lrange("rq:queue:m", 0, -1)
    return [entry.decode() for entry in entries]


def lose(tickets: Tickets, job_id: str) -> None:
    """The worker of a running job is gone, and its lease over."""
    tickets.client.zadd("iq:leases:m", {job_id: 1}, xx=True)


def places(tickets: Tickets) -> list[str]:
    """The jobs that wait, as their list names them, in order."""
    found: Any = tickets.client.zrange("iq:waiting:m", 0, -1)
    return [place.decode().split(":", 3)[3] for place in found]
