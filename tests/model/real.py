"""The scripts on a real Valkey, on a clock that the test sets, behind the same methods as the model."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

from redis import Redis, ResponseError

import shared.scripts
from shared import registry
from shared.addition import addition
from shared.errors import InferqError
from shared.protocol import Accepted, State
from shared.registry import GATEWAY_TTL, GatewayProcess, Kind, Worker
from shared.scripts import COMMON, cut_down, name_keys, script
from shared.ticket import Answer, Attempt, Claim, LeftForOthers, Sighting
from shared.tickets import Tickets
from shared.unarchived import Due, Unarchived
from tests.model.course import MOST_OWNERS_TOLD
from tests.model.job import Addition
from tests.model.picture import CLOCK
from tests.model.placing import MOST_OVERTAKEN, MOST_PERMITS, MOST_READ, MOST_READERS
from tests.model.schedule import MOST_PREEMPTIONS

_TIME = ("redis.call('TIME')", f"redis.call('HMGET', '{CLOCK}', 's', 'us')")

_PREEMPTIONS = ("_schedule", "local MOST_PREEMPTIONS = 10", f"local MOST_PREEMPTIONS = {MOST_PREEMPTIONS}")
_READ = ("_readers", "local MOST_READ = 4096", f"local MOST_READ = {MOST_READ}")
_READERS = ("_readers", "local MOST_READERS = 3", f"local MOST_READERS = {MOST_READERS}")
_OVERTAKEN = ("_schedule", "local MOST_OVERTAKEN = 4", f"local MOST_OVERTAKEN = {MOST_OVERTAKEN}")
_PERMITS = (
    "_schedule",
    "local MOST_PERMITS, PERMITS_LAST = 100, 60",
    f"local MOST_PERMITS, PERMITS_LAST = {MOST_PERMITS}, 6000",
)
_OWNERS = ("_history", "local MOST_OWNERS_TOLD = 200", f"local MOST_OWNERS_TOLD = {MOST_OWNERS_TOLD}")
_LIVES = (
    ("_ticket", "local REMEMBERED = 60 ", "local REMEMBERED = 6000 "),
    ("_history", "{ 10, 90 }", "{ 10, 9000 }"),
    ("sweep", "local RECORD_LASTS = 60000", "local RECORD_LASTS = 6000000"),
    ("leave", "'PEXPIRE', KEY.orphans .. orphans, linger)", "'PEXPIRE', KEY.orphans .. orphans, 100 * linger)"),
)
"""What lives for a minute by the clock of Valkey, which is not the test's: a world may take longer where a machine is
busy. Its end is an action; see `picture.take`."""


class NoSuchText(LookupError):
    """A fault was to be put where there is nothing like it."""


class Edits:
    """The scripts as they are loaded: on the test's clock, and with one fault where a test wants it."""

    def __init__(self) -> None:
        self.fault: tuple[str, str, str] | None = None
        """The script, its text, and what stands there instead."""

    def text(self, name: str) -> str:
        first, _, rest = self._source(name).partition("\n")
        return name_keys("\n".join([first, cut_down("\n".join(map(self._source, COMMON)), rest), rest]))

    def _source(self, name: str) -> str:
        source = (resources.files(shared.scripts) / f"{name}.lua").read_text()
        for script_name, text, instead in [
            ("_now", *_TIME),
            _PREEMPTIONS,
            _OWNERS,
            _READ,
            _READERS,
            _OVERTAKEN,
            _PERMITS,
            *_LIVES,
            *([self.fault] if self.fault else []),
        ]:
            if script_name == name:
                if source.count(text) != 1:
                    raise NoSuchText(f"{source.count(text)} times in {name}.lua: {text!r}")
                source = source.replace(text, instead)
        return source


class Real:
    """Everything that the model can do, through the real ones who do it."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self.tickets = Tickets(client)
        self.unarchived = Unarchived(client)
        self._listen = script(client, "listen")
        self._pace = script(client, "pace")

    def set_clock(self, now: int) -> None:
        self.client.hset(CLOCK, mapping={"s": now // 1000, "us": now % 1000 * 1000})

    def submit(self, job_id: str, accepted: Accepted, **options: Any) -> str:
        return self.tickets.submit(job_id, accepted, **options)

    def claim(
        self, model: str, permit: str, execution: str, *, lease_ms: int, worker: str
    ) -> Claim | LeftForOthers | None:
        return self.tickets.claim(model, permit, execution, lease_ms=lease_ms, worker=worker)

    def append(self, model: str, additions: Sequence[Addition]) -> list[tuple[Answer, int] | None]:
        packed = [
            addition(a.job_id, a.execution, first=a.first, events=a.events) if a.events else (a.job_id, a.execution)
            for a in additions
        ]
        answers = self.tickets.append(model, packed)
        return [None if isinstance(answer, ResponseError) else answer for answer in answers]

    def renew(self, model: str, lease_ms: int, executions: Sequence[tuple[str, str]]) -> list[Answer]:
        return self.tickets.renew(model, lease_ms, executions)

    def release(self, model: str, executions: Sequence[tuple[str, str]]) -> int:
        return self.tickets.release(model, executions)

    def hand_back(self, model: str, job_id: str, execution: str, reason: InferqError) -> None:
        self.tickets.hand_back(model, job_id, execution, reason)

    def decline(self, model: str, job_id: str, execution: str) -> None:
        self.tickets.decline(model, job_id, execution)

    def position(self, job_id: str) -> int | None:
        return self.tickets.position(job_id)

    def restart(self, model: str, job_id: str, execution: str) -> bool:
        return self.tickets.restart(model, job_id, execution)

    def cancel(self, job_id: str, *, unless_joined: bool) -> State:
        return self.tickets.cancel(job_id, unless_joined=unless_joined)

    def leave(self, job_id: str, visitor: str, reply: str, attempt: Attempt, linger: float) -> None:
        self.tickets.leave(job_id, visitor, reply, attempt, linger)

    def attach(self, reply: str, sightings: Sequence[Sighting]) -> dict[int, bool]:
        return self.tickets.attach(reply, sightings)

    def sweep(self, model: str, lease_ms: int) -> int:
        return self.tickets.sweep(model, lease_ms)

    def evict(self, name: str, wanted: int, most: int) -> int:
        gone, _ = self.tickets.evict(name, wanted, most)
        return gone

    def due(self, most: int, patience: float) -> Due:
        found = self.unarchived.due(most, patience)
        return found._replace(others=sorted(found.others))

    def of_conversation(self, conversation: str) -> list[str]:
        return self.unarchived.of_conversation(conversation)

    def release_stored(self, job_id: str, *, dropped: bool, indexed: bool) -> bool:
        return self.unarchived.release(job_id, dropped=dropped, indexed=indexed)

    def remove(self, job_id: str) -> bool:
        return self.unarchived.remove(job_id)

    def lapse(self) -> None:
        self.tickets.lapse()

    def move(self, model: str) -> str | None:
        entry: Any = self.client.lmove(f"rq:queue:{model}", f"rq:queue:{model}:intermediate")
        return entry.decode() if entry else None

    def announce_worker(self, worker: Worker, lease_ms: int) -> None:
        self.client.sadd("rq:workers", f"rq:worker:{worker.name}")  # as RQ does when a worker registers
        self.client.sadd(f"rq:workers:{worker.model}", f"rq:worker:{worker.name}")
        registry.announce(self.client, worker, lease_ms)

    def announce_gateway(self, gateway: GatewayProcess, lease_ms: int) -> None:
        registry.announce_gateway(self.client, gateway, lease_ms)

    def leave_gateway(self, name: str) -> None:
        registry.leave_gateway(self.client, name)

    def withdraw(self, name: str) -> None:
        for key in self.client.keys("rq:workers*"):
            self.client.srem(key, f"rq:worker:{name}")
        registry.withdraw(self.client, name)

    def names(self, kind: Kind) -> list[str]:
        found: list[bytes] = script(self.client, "live")(keys=[], args=[kind])
        return sorted(name.decode() for name in found[::2])

    def listen(self, reply: str, read: int) -> bool:
        entries: Any = self.client.xrange(reply, "-", "+", count=read + 1)
        last = self.client.xinfo_stream(reply)["last-generated-id"].decode() if entries else "0-0"
        cursor = entries[read][0] if len(entries) > read else f"{last}1"
        there, _ = self._listen(keys=[], args=[reply, 60 * GATEWAY_TTL, cursor])
        return bool(there)

    def end(self, *keys: str) -> None:
        self.client.delete(*keys)

    def lose_permit(self, model: str) -> None:
        self.client.lpop(f"rq:queue:{model}")

    def hint(self, model: str, entry: str) -> None:
        self.client.lpush(f"rq:queue:{model}", entry)

    def paces(self, model: str) -> list[int]:
        answer: list[int] = self._pace(keys=[], args=[model])
        return answer
