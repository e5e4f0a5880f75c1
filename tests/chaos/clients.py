"""Clients that want their answer, whatever happens; what they see of it is judged in `witness.py`."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from tests.chaos.failures import Ended, Failure, Forgotten, Refused, UnknownEvent, refusal
from tests.chaos.judgement import Fate
from tests.chaos.plan import Kind
from tests.chaos.reading import code_of
from tests.chaos.wire import SILENCE, Answer, Broken, Wire
from tests.chaos.witness import Witness

PATIENCE = 240.0
"""Seconds after which an answer is taken for lost."""
SECOND_LOOK = 1.5
"""Seconds after which a cancelled job is looked at again: a cancel may be among what Redis forgets."""


@dataclass(slots=True, kw_only=True)
class Client(Witness):
    """One client with one request."""

    patience: ClassVar[float] = PATIENCE
    wire: Wire
    random: Random
    refusals: list[str]
    """Where it notes how it was refused."""
    job: str = ""
    attempts: int = 0
    sent: float = 0.0
    accepted: tuple[float, float] = (0.0, 0.0)
    """When the attempt that brought the job was sent, and when its answer began."""
    forgotten: int = 0
    """How often it had to submit anew because Redis had forgotten its job."""
    read_anew: int = 0
    """How often it had to read from the start because Redis had forgotten where it was."""
    asked_twice: bool = False
    """It has no key by which its second attempt is known where the gateway of the first one has died."""

    @property
    def jobs(self) -> Collection[str]:
        """What is computed for it."""
        return [self.job] if self.job else []

    async def run(self) -> None:
        """Ask until there is an answer, or the client leaves; `fate` says which."""
        leaves = self.request.leaves_after
        self.note("asks")
        try:
            async with asyncio.timeout(self.patience if leaves is None else leaves):
                await self._ask()
        except TimeoutError:
            if leaves is None:
                self._end(Fate.LOST, f"no answer within {self.patience:.0f} s")
            else:
                await self._leave()
        except Failure as exc:
            self._end(exc.fate, str(exc))
        else:
            self._judge()

    async def _ask(self) -> None:
        while True:
            try:
                return await self._ask_once()
            except (Forgotten, Ended) as exc:
                if isinstance(exc, Ended) and not self._excused(exc):
                    raise
                self.note(f"{self.job} is gone: {exc!r}")
                self.forgotten += isinstance(exc, Forgotten)
                self.job, self.accepted, self.away = "", (0.0, 0.0), 0.0

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
        left = time.monotonic()
        while True:
            self.end = reading
            headers = {"Last-Event-ID": reading.last_id} if reading.last_id else {}
            try:
                async with self.wire.request("GET", path, None, headers, whose=self.name, resumable=True) as answer:
                    self.away, left = max(self.away, time.monotonic() - left), math.inf
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
                left = min(left, time.monotonic())
                self._compare(reading)
                await self._pause()
            except Refused as exc:
                await asyncio.sleep(exc.pause)

    async def _leave(self) -> None:
        """The connection is closed already. Who has none, because it polls, says so."""
        self._end(Fate.CANCELLED, "")
        if self.request.kind in (Kind.POLL, Kind.FOLLOW) and self.job:
            try:
                async with asyncio.timeout(self.patience):
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
        if self._excuses(code):
            raise Refused(answer.status, code, 0.5)
        refused = refusal(answer.status, answer.headers, code, error["message"])
        if isinstance(refused, Refused):
            self.refusals.append(told)
        raise refused

    async def _pause(self) -> None:
        """As the `openai` client does."""
        await asyncio.sleep(min(0.5 * 2 ** min(self.attempts - 1, 4), 8.0) * self.random.uniform(0.75, 1))
