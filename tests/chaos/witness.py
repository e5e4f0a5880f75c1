"""What a client sees of its answer, and whether it comes once, whole, and is theirs."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from shared.tickets import RETURN_SECONDS
from tests.chaos.failures import Ended, Gap
from tests.chaos.forms import EXACT
from tests.chaos.judgement import Fate, difference, judge
from tests.chaos.plan import Kind, Request
from tests.chaos.reading import Reading
from tests.chaos.stored import Stored
from tests.chaos.wire import Answer, Broken

IN_FLIGHT = 0.5
"""Seconds in which tokens may still arrive that their worker had sent before it died; less than any lease."""


@dataclass(slots=True, kw_only=True)
class Witness:
    """One client, as far as it reads, remembers and judges."""

    reader: ClassVar[type[Reading]] = Reading
    request: Request
    recoveries: list[tuple[float, float]]
    """Where it notes the time of a fault under its job, and that of the next token."""
    crashes: Sequence[tuple[float, float]]
    """From when to when Redis has forgotten what was written."""
    excuses: Collection[str] = ()
    """Codes after which it comes again all the same."""
    excused: list[tuple[float, str]] = field(default_factory=list)
    """When it was told what of these."""
    fate: Fate | None = None
    story: list[tuple[float, str]] = field(default_factory=list)
    """What happened to it, and when."""
    fault_at: float | None = None
    given_up: int = 0
    """How often its stream ended because Redis had forgotten a part of it, of which nobody knew what it had told."""
    seen: str = ""
    """The longest part of its answer that it has read."""
    end: Reading = field(default_factory=Reading)
    """What reads its answer now, or has read the end of it."""
    calls: dict[tuple[str, int], str] = field(default_factory=dict)
    """The ids of the calls of each job that it has read."""
    away: float = 0.0
    """The longest time, in seconds, that nobody read its job."""
    kept: list[Stored] = field(default_factory=list)
    """What it knows to be stored."""

    @property
    def name(self) -> str:
        return str(self.request.number)

    def struck(self, at: float) -> None:
        """A fault has hit the worker that computes the job."""
        self.fault_at = at

    def note(self, what: object) -> None:
        self.story.append((time.monotonic(), str(what)))

    def _excused(self, ended: Ended) -> bool:
        if ended.code == "cancelled" and self.request.kind is Kind.STREAM and self.away > RETURN_SECONDS:
            return True  # its gateway took longer to be back than a stream's job waits for its client
        if ended.code != "worker_lost" or self.request.form not in EXACT:
            return self._excuses(ended.code)
        self.given_up += 1
        return True  # the report says whether Redis had a reason

    def _excuses(self, code: str) -> bool:
        if code in self.excuses:
            self.excused.append((time.monotonic(), code))
        return code in self.excuses

    def _may_have_forgotten(self, asked: float, answered: float) -> bool:
        """Whether Redis may have forgotten what it was asked to write then."""
        return any(begin < answered and asked < end for begin, end in self.crashes)

    async def _read(self, answer: Answer, reading: Reading) -> None:
        """To the end of the stream. Raises Broken where it has none."""
        async for event_id, data in answer.events():
            if reading.take(event_id, data) and self.fault_at is not None:
                now = time.monotonic()
                if now - self.fault_at > IN_FLIGHT:
                    self.recoveries.append((self.fault_at, now))
                    self.fault_at = None
            if reading.over:
                reading.end()
                self._compare(reading)
                return
        raise Broken("the stream has no end")

    def _compare(self, reading: Reading) -> None:
        """Note how far it has read. Raises Gap where it had read something else before."""
        if not (reading.text.startswith(self.seen) or self.seen.startswith(reading.text)):
            raise Gap(f"reads otherwise than before, {difference(reading.text, self.seen)}")
        self.seen = max(self.seen, reading.text, key=len)
        reading.check_calls(self.calls)

    def _take_whole(self, answer: dict[str, Any]) -> None:
        self.end = self.reader()
        self.end.take_whole(answer)
        self._compare(self.end)

    def _judge(self) -> None:
        fate = judge(self.request, self.end.text)
        if fate is not Fate.ANSWERED:
            self._end(fate, difference(self.end.text, self.request.expected))
        elif wrong := self.end.wrong(self.request):
            self._end(Fate.LOST, wrong)
        else:
            self._end(fate, "")

    def _end(self, fate: Fate, why: str) -> None:
        self.fate = fate
        if why:
            self.note(why)
