"""Release 0.1.0 as Redis sees it: its scripts, of tests/fixtures/v0.1.0, behind the methods of `Tickets`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis import Redis, ResponseError

from shared import rq_job
from shared.addition import Addition
from shared.codec import encode
from shared.errors import QueueFull
from shared.protocol import Accepted
from shared.scripts import script
from shared.ticket import NOBODY, ORDINARY, Answer, Attempt, Claim, Standing
from shared.tickets import Tickets

SCRIPTS = Path(__file__).parent / "fixtures" / "v0.1.0"
CARD = {"name": "old", "model": "m", "host": "h", "pid": 1, "since": 1, "version": "0.1.0"}
"""Of a worker; it says nothing of a wire."""


class Earlier(Tickets):
    """What is the same in both releases it has from `Tickets`."""

    def __init__(self, client: Redis) -> None:
        super().__init__(client)
        for file in SCRIPTS.glob("[!_]*.lua"):
            setattr(self, f"_{file.stem}", client.register_script(_text(file)))

    def submit(
        self,
        job_id: str,
        accepted: Accepted,
        *,
        reply: str,
        max_queue: int,
        wait: float,
        keep: int,
        attempt: Attempt = NOBODY,
        visitor: str | None = None,
        again: bool = False,
        standing: Standing = ORDINARY,
        most_bytes: int | None = None,
        most_unarchived_bytes: int | None = None,
    ) -> str:
        model = accepted.task.model
        head: list[Any] = [model, job_id, accepted.owner, max_queue, int(wait * 1000), keep, reply, visitor or job_id]
        head += [int(attempt.waits), int(attempt.parts), attempt.fingerprint, attempt.number, attempt.idempotency]
        head += [int(again), encode([accepted])]
        outcome, value = self._submit(keys=[], args=head + rq_job.fields(model, job_id))
        if outcome == 0:
            raise QueueFull(f"{value} requests wait")
        return job_id if outcome == 1 else str(value.decode())

    def claim(self, model: str, permit: str, execution: str, *, lease_ms: int, worker: str) -> Claim | None:
        mine, seq, tries, accepted, waited = self._claim(keys=[], args=[model, permit, execution, lease_ms, worker])
        return Claim(permit, int(seq), int(tries), accepted, int(waited)) if mine else None

    def append(self, model: str, additions: Sequence[Addition]) -> list[tuple[Answer, int] | ResponseError]:
        answers: list[tuple[Answer, int] | ResponseError] = []
        for job_id, execution, first, count, blob, tokens, *end in additions:
            state, ending = (end[0], json.dumps(json.loads(blob)[-1:])) if end else ("", "")
            arguments = [model, job_id, execution, first, count, state, blob, ending, tokens]
            answer, stored = self._append(keys=[], args=arguments)
            answers.append((Answer(answer), stored))
        return answers

    def live(self, seconds: float = 3600) -> None:
        """One of its workers is there for so long."""
        now, _ = self.client.time()
        self.client.set("iq:card:workers:old", json.dumps(CARD))
        self.client.zadd("iq:live:workers", {"old": int((now + seconds) * 1000)})

    def die(self) -> None:
        script(self.client, "withdraw")(keys=[], args=["workers", "old"])


def _text(file: Path) -> str:
    first, _, rest = file.read_text().partition("\n")
    return f"{first}\n{(SCRIPTS / '_ticket.lua').read_text()}\n{rest}"
