"""Clients that want their answer, whatever happens, and watch that it comes once, whole, and is theirs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, ClassVar

from tests.chaos.failures import Ended, Failure, Forgotten, Gap, Refused, UnknownEvent, refusal
from tests.chaos.forms import EXACT
from tests.chaos.judgement import Fate, difference, judge
from tests.chaos.plan import Kind, Request
from tests.chaos.reading import Reading, code_of
from tests.chaos.stored import Stored
from tests.chaos.wire import SILENCE, Answer, Broken, Wire

PATIENCE = 240.0
"""Seconds after which an answer is taken for lost."""
IN_FLIGHT = 0.5
"""Seconds in which tokens may still arrive that their worker had sent before it died; less than any lease."""
SECOND_LOOK = 1.5
"""Seconds after which a cancelled job is looked at again: a cancel may be among what Redis forgets."""


@dataclass(slots=True)
class Client:
    """One client with one request."""

    reader: ClassVar[type[Reading]] = Reading
    request: Request
    wire: Wire
    random: Random
    refusals: list[str]
    """Where it notes how it was refused."""
    recoveries: list[tuple[float, float]]
    """Where it notes the time of a fault under its job, and that of the next token."""
    crashes: Sequence[tuple[float, float]]
    """From when to when Redis has forgotten what was written."""
    excuses: Collection[str] = ()
    """Codes after which it comes again all the same."""
    job: str = ""
    fate: Fate | None = None
    story: list[tuple[float, str]] = field(default_factory=list)
    """What happened to it, and when."""
    fault_at: float | None = None
    attempts: int = 0
    sent: float = 0.0
    accepted: tuple[float, float] = (0.0, 0.0)
    """When the attempt that brought the job was sent, and when its answer began."""
    forgotten: int = 0
    """How often it had to submit anew because Redis had forgotten its job."""
    read_anew: int = 0
    """How often it had to read from the start because Redis had forgotten where it was."""
    given_up: int = 0
    """How often its stream ended because Redis had forgotten a part of it, of which nobody knew what it had told."""
    seen: str = ""
    """The longest part of its answer that it has read."""
    end: Reading = field(default_factory=Reading)
    """What reads its answer now, or has read the end of it."""
    calls: dict[tuple[str, int], str] = field(default_factory=dict)
    """The ids of the calls of each job that it has read."""
    asked_twice: bool = False
    """It has no key by which its second attempt is known where the gateway of the first one has died."""
    kept: list[Stored] = field(default_factory=list)
    """What it knows to be stored."""

    @property
    def name(self) -> str:
        return str(self.request.number)

    async def run(self) -> None:
        """Ask until there is an answer, or the client leaves; `fate` says which."""
        leaves = self.request.leaves_after
        self.note("asks")
        try:
            async with asyncio.timeout(PATIENCE if leaves is None else leaves):
                await self._ask()
        except TimeoutError:
            if leaves is None:
                self._end(Fate.LOST, f"no answer within {PATIENCE:.0f} s")
            else:
                await self._leave()
        except Failure as exc:
            self._end(exc.fate, str(exc))
        else:
            self._judge()

    def struck(self, at: float) -> None:
        """A fault has hit the worker that computes the job."""
        self.fault_at = at

    def note(self, what: object) -> None:
        self.story.append((time.monotonic(), str(what)))

    async def _ask(self) -> None:
        while True:
            try:
                return await self._ask_once()
            except (Forgotten, Ended) as exc:
                if isinstance(exc, Ended) and not self._excused(exc):
                    raise
                self.note(f"{self.job} is gone: {exc!r}")
                self.forgotten += isinstance(exc, Forgotten)
                self.job, self.accepted = "", (0.0, 0.0)

    def _excused(self, ended: Ended) -> bool:
        if ended.code != "worker_lost" or self.request.form not in EXACT:
            return ended.code in self.excuses
        self.given_up += 1
        return True  # the report says whether Redis had a reason

    async def _ask_once(self) -> None:
        """Raises Forgotten."""
        match self.request.kind:
            case Kind.STREAM:
                await self._stream()
            case Kind.WHOLE:
                await self._whole()
            case Kind.POLL:
                await self._submit()
                await self._poll()
            case Kind.FOLLOW:
                await self._submit()
                await self._follow()

    async def _stream(self) -> None:
        while True:
            reading = self.end = self.reader()
            try:
                async with self._post() as answer:
                    await self._accepted(answer, 200)
                    await self._read(answer, reading)
                    return
            except Broken as exc:
                self.note(f"stream: {exc}")
                self._compare(reading)
                if self.job and not (self.request.key and self.random.random() < 0.5):
                    await self._follow()
                    return
                await self._pause()
            except Refused as exc:
                await asyncio.sleep(exc.pause)

    async def _whole(self) -> None:
        while True:
            async with self._patiently("waiting"), self._post() as answer:
                await self._accepted(answer, 200)
                return self._take_whole(await answer.json())

    async def _submit(self) -> None:
        while True:
            async with self._patiently("submitting"), self._post() as answer:
                await self._accepted(answer, 202)
                self.job = (await answer.json())["id"]
                return

    async def _poll(self) -> None:
        while True:
            job = await self._call("GET", f"/v1/jobs/{self.job}")
            if job["status"] == "completed":
                return self._take_whole(job["result"])
            if job["status"] not in ("queued", "in_progress"):
                raise Ended(job["error"]["code"], job["error"]["message"])
            await asyncio.sleep(0.5)

    async def _follow(self) -> None:
        reading, path = self.reader(), f"/v1/jobs/{self.job}/events"
        while True:
            self.end = reading
            headers = {"Last-Event-ID": reading.last_id} if reading.last_id else {}
            try:
                async with self.wire.request("GET", path, None, headers, whose=self.name, resumable=True) as answer:
                    if answer.status != 204:  # which says that all was read
                        await self._accepted(answer, 200)
                        await self._read(answer, reading)
                    return
            except UnknownEvent:
                self.note(f"{reading.last_id!r} is no event any more")
                self.read_anew += 1
                self._compare(reading)
                reading = self.reader()
            except Broken as exc:
                self.note(f"following after {reading.last_id!r}: {exc}")
                self._compare(reading)
                await self._pause()
            except Refused as exc:
                await asyncio.sleep(exc.pause)

    async def _leave(self) -> None:
        """The connection is closed already. Who has none, because it polls, says so."""
        self._end(Fate.CANCELLED, "")
        if self.request.kind in (Kind.POLL, Kind.FOLLOW) and self.job:
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._cancel()
            except Forgotten:
                self.note(f"{self.job} is forgotten, and with it that it is to be cancelled")
            except (TimeoutError, Failure) as exc:
                self._end(Fate.LOST, f"the cancel: {exc!r}")

    async def _cancel(self) -> None:
        """See that the job ends, and cancel it anew where Redis has forgotten that. Raises Failure, Forgotten."""
        path = f"/v1/jobs/{self.job}"
        while True:
            asked = time.monotonic()
            while (state := (await self._call("DELETE", path))["status"]) == "in_progress":
                self.note("not cancelled yet")
            if state not in ("cancelled", "completed"):
                raise Failure(f"cancelled, but {state}")
            answered = time.monotonic()
            await asyncio.sleep(SECOND_LOOK)
            if (await self._call("GET", path))["status"] not in ("queued", "in_progress"):
                return
            self.note(f"was {state}, and runs again")
            if not self._may_have_forgotten(asked, answered):
                raise Failure(f"was {state}, and runs again")

    async def _call(self, method: str, path: str) -> Any:
        while True:
            async with self._patiently(method), self.wire.request(method, path, whose=self.name) as answer:
                await self._accepted(answer, 200)
                return await answer.json()

    @asynccontextmanager
    async def _patiently(self, doing: str) -> AsyncIterator[None]:
        """What is to be done again unless it comes to its end, after a while."""
        try:
            yield
        except Broken as exc:
            self.note(f"{doing}: {exc}")
            await self._pause()
        except Refused as exc:
            await asyncio.sleep(exc.pause)

    def _post(self) -> AbstractAsyncContextManager[Answer]:
        request, headers = self.request, self.request.headers(self.attempts)
        self.asked_twice |= self.attempts > 0 and not request.key
        self.attempts, self.sent = self.attempts + 1, time.monotonic()
        # A stream that has begun is cancelled when its client goes, unless it has a key to come again with.
        resumable = bool(request.key) or request.kind is Kind.WHOLE
        # Who waits for a whole answer hears nothing before, and does not come again unless the connection breaks.
        silence = PATIENCE if request.kind is Kind.WHOLE else SILENCE
        return self.wire.request(
            "POST", request.path, request.written(), headers, whose=self.name, resumable=resumable, silence=silence
        )

    async def _accepted(self, answer: Answer, status: int) -> None:
        """Note the job. Raises Refused, Forgotten, UnknownEvent, or Failure where clients do not repeat it."""
        if answer.status == status:
            if "location" in answer.headers:
                job = answer.headers["location"].rpartition("/")[2]
                if job != self.job:
                    self.note(f"attempt {self.attempts}: {job}")
                    self.job, self.accepted = job, (self.sent, time.monotonic())
            return
        error = (await answer.json())["error"]
        code = code_of(error)
        told = f"{answer.status} {code}"
        self.note(told)
        if code in ("job_not_found", "not_stored") and self._may_have_forgotten(*self.accepted):
            raise Forgotten
        if code == "unknown_event" and error["param"] == "Last-Event-ID":
            raise UnknownEvent
        if code in self.excuses:
            raise Refused(answer.status, code, 0.5)
        refused = refusal(answer.status, answer.headers, code, error["message"])
        if isinstance(refused, Refused):
            self.refusals.append(told)
        raise refused

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

    async def _pause(self) -> None:
        """As the `openai` client does."""
        await asyncio.sleep(min(0.5 * 2 ** min(self.attempts - 1, 4), 8.0) * self.random.uniform(0.75, 1))

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
