"""Clients that want their answer, whatever happens, and watch that it comes once, whole, and is theirs."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any

from tests.calls import CHATS, COMPLETIONS, said
from tests.chaos.plan import Kind, Request
from tests.chaos.wire import Answer, Broken, Wire

PATIENCE = 240.0
"""Seconds after which an answer is taken for lost."""
IN_FLIGHT = 0.5
"""Seconds in which tokens may still arrive that their worker had sent before it died; less than any lease."""


class Outcome(StrEnum):
    """What became of a request."""

    ANSWERED = "answered"
    CANCELLED = "cancelled"
    LOST = "lost"
    DOUBLED = "doubled"
    CROSSED = "crossed"


class Lost(Exception):
    """An accepted job was not answered."""


class Refused(Exception):
    """Come again after `pause` seconds."""

    def __init__(self, status: int, code: str, pause: float) -> None:
        super().__init__(f"{status} {code}")
        self.pause = pause


@dataclass(slots=True)
class Reading:
    """What a client has read of one stream."""

    text: str = ""
    last_id: str = ""
    job: str = ""
    finish: str = ""
    usage: dict[str, Any] | None = None

    def take(self, event_id: str, data: str) -> bool:
        """Take in an event; True when it brought text. Raises Lost."""
        self.last_id = event_id or self.last_id
        chunk = json.loads(data)
        if "error" in chunk:
            raise Lost(f"the stream ended with {chunk['error']['code']}: {chunk['error']['message']}")
        if self.job and chunk["id"] != self.job:
            raise Lost(f"the stream of {self.job} went on as {chunk['id']}")
        self.job = chunk["id"]
        self.usage = chunk.get("usage") or self.usage
        for choice in chunk["choices"]:
            self.finish += choice["finish_reason"] or ""
            text = choice["text"] if "text" in choice else choice["delta"].get("content")
            self.text += text or ""
            if text:
                return True
        return False


@dataclass(slots=True)
class Client:
    """One client with one request."""

    request: Request
    wire: Wire
    random: Random
    refusals: list[str]
    """Where it notes how it was refused."""
    recoveries: list[tuple[float, float]]
    """Where it notes the time of a fault under its job, and that of the next token."""
    job: str = ""
    outcome: Outcome | None = None
    story: list[str] = field(default_factory=list)
    fault_at: float | None = None
    attempts: int = 0
    text: str = ""

    @property
    def name(self) -> str:
        return str(self.request.number)

    async def run(self) -> None:
        """Ask until there is an answer, or the client leaves; `outcome` says which."""
        leaves = self.request.leaves_after
        try:
            async with asyncio.timeout(PATIENCE if leaves is None else leaves):
                self.text = await self._ask()
        except TimeoutError:
            if leaves is None:
                self._end(Outcome.LOST, f"no answer within {PATIENCE:.0f} s")
            else:
                await self._leave()
        except Lost as exc:
            self._end(Outcome.LOST, str(exc))
        else:
            self._judge()

    def struck(self, at: float) -> None:
        """A fault has hit the worker that computes the job."""
        self.fault_at = at

    def note(self, what: object) -> None:
        self.story.append(f"{time.monotonic():.2f} {what}")

    async def _ask(self) -> str:
        match self.request.kind:
            case Kind.STREAM:
                return (await self._stream()).text
            case Kind.WHOLE:
                return await self._whole()
            case Kind.POLL:
                await self._submit()
                return await self._poll()
            case Kind.FOLLOW:
                await self._submit()
                return (await self._follow()).text

    async def _stream(self) -> Reading:
        partial = ""
        while True:
            reading = Reading()
            try:
                async with self._post() as answer:
                    await self._accepted(answer, 200)
                    await self._read(answer, reading)
            except Broken as exc:
                self.note(f"stream: {exc}")
                self._check_prefix(partial, reading.text)
                partial = max(partial, reading.text, key=len)
                if self.job and not (self.request.key and self.random.random() < 0.5):
                    reading = await self._follow()
                else:
                    await self._pause()
                    continue
            except Refused as exc:
                await asyncio.sleep(exc.pause)
                continue
            self._check_prefix(partial, reading.text)
            return reading

    async def _whole(self) -> str:
        while True:
            try:
                async with self._post() as answer:
                    await self._accepted(answer, 200)
                    body = await answer.json()
                    self._check_usage(body["usage"])
                    return _text(body)
            except Broken as exc:
                self.note(f"waiting: {exc}")
                await self._pause()
            except Refused as exc:
                await asyncio.sleep(exc.pause)

    async def _submit(self) -> None:
        while True:
            try:
                async with self._post() as answer:
                    await self._accepted(answer, 202)
                    self.job = (await answer.json())["id"]
                    return
            except Broken as exc:
                self.note(f"submitting: {exc}")
                await self._pause()
            except Refused as exc:
                await asyncio.sleep(exc.pause)

    async def _poll(self) -> str:
        while True:
            job = await self._call("GET", f"/v1/jobs/{self.job}")
            if job["status"] == "completed":
                self._check_usage(job["result"]["usage"])
                return _text(job["result"])
            if job["status"] not in ("queued", "in_progress"):
                raise Lost(f"{job['status']}: {job['error']}")
            await asyncio.sleep(0.5)

    async def _follow(self) -> Reading:
        reading = Reading()
        while True:
            headers = {"Last-Event-ID": reading.last_id} if reading.last_id else {}
            path = f"/v1/jobs/{self.job}/events"
            try:
                async with self.wire.request("GET", path, None, headers, whose=self.name, resumable=True) as answer:
                    if answer.status != 204:  # which says that all was read
                        await self._accepted(answer, 200)
                        await self._read(answer, reading)
                    return reading
            except Broken as exc:
                self.note(f"following after {reading.last_id!r}: {exc}")
                await self._pause()
            except Refused as exc:
                await asyncio.sleep(exc.pause)

    async def _leave(self) -> None:
        """The connection is closed already. Who has none, because it polls, says so."""
        self._end(Outcome.CANCELLED, "")
        if self.request.kind in (Kind.POLL, Kind.FOLLOW) and self.job:
            try:
                async with asyncio.timeout(PATIENCE):
                    while (state := (await self._call("DELETE", f"/v1/jobs/{self.job}"))["status"]) == "in_progress":
                        self.note("not cancelled yet")
            except (TimeoutError, Lost) as exc:
                self._end(Outcome.LOST, f"the cancel: {exc!r}")
            else:
                if state not in ("cancelled", "completed"):
                    self._end(Outcome.LOST, f"cancelled, but {state}")

    async def _call(self, method: str, path: str) -> Any:
        while True:
            try:
                async with self.wire.request(method, path, whose=self.name) as answer:
                    await self._accepted(answer, 200)
                    return await answer.json()
            except Broken as exc:
                self.note(f"{method}: {exc}")
                await self._pause()
            except Refused as exc:
                await asyncio.sleep(exc.pause)

    def _post(self) -> AbstractAsyncContextManager[Answer]:
        request = self.request
        body: dict[str, Any]
        if request.most:
            path, body = COMPLETIONS, {"prompt": request.prompt, "max_tokens": request.most, "temperature": 0}
        else:
            path, body = CHATS, {"messages": said(request.prompt)}
        body["model"] = request.model
        if request.kind is Kind.STREAM:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        headers = {"Prefer": "respond-async"} if request.kind in (Kind.POLL, Kind.FOLLOW) else {}
        if request.key:
            headers["Idempotency-Key"] = request.key
        else:
            headers |= {"x-stainless-retry-count": str(self.attempts), "x-stainless-read-timeout": "600"}
        self.attempts += 1
        # A stream that has begun is cancelled when its client goes, unless it has a key to come again with.
        resumable = bool(request.key) or request.kind is Kind.WHOLE
        return self.wire.request("POST", path, body, headers, whose=self.name, resumable=resumable)

    async def _accepted(self, answer: Answer, status: int) -> None:
        """Note the job. Raises Refused, or Lost where the answer is one that clients do not repeat."""
        if answer.status == status:
            if "location" in answer.headers:
                job = answer.headers["location"].rpartition("/")[2]
                if job != self.job:
                    self.note(f"attempt {self.attempts}: {job}")
                self.job = job
            return
        error = (await answer.json())["error"]
        told = f"{answer.status} {error['code']}"
        self.note(told)
        again = answer.status in (408, 409, 429) or answer.status >= 500
        if not again or answer.headers.get("x-should-retry") == "false" or error["code"] == "worker_lost":
            raise Lost(f"{told}: {error['message']}")
        self.refusals.append(told)
        raise Refused(answer.status, error["code"], float(answer.headers.get("retry-after", 0.5)))

    async def _read(self, answer: Answer, reading: Reading) -> None:
        """To the end of the stream. Raises Broken where it has none."""
        async for event_id, data in answer.events():
            if data == "[DONE]":
                self._check_usage(reading.usage)
                if reading.finish not in ("stop", "length"):
                    raise Lost(f"finish reason {reading.finish!r}")
                return
            if reading.take(event_id, data) and self.fault_at is not None:
                now = time.monotonic()
                if now - self.fault_at > IN_FLIGHT:
                    self.recoveries.append((self.fault_at, now))
                    self.fault_at = None
        raise Broken("the stream has no end")

    async def _pause(self) -> None:
        """As the `openai` client does."""
        await asyncio.sleep(min(0.5 * 2 ** min(self.attempts - 1, 4), 8.0) * self.random.uniform(0.75, 1))

    def _check_prefix(self, partial: str, text: str) -> None:
        if not (text.startswith(partial) or partial.startswith(text)):
            raise Lost(f"another beginning: {partial[-60:]!r}, then {text[:60]!r}")

    def _check_usage(self, usage: dict[str, Any] | None) -> None:
        if usage is None:
            raise Lost("no usage")
        if not self.request.most and usage["completion_tokens"] != len(self.request.expected.split()):
            raise Lost(f"usage of {usage['completion_tokens']} tokens for {len(self.request.expected.split())}")

    def _judge(self) -> None:
        if self.text == self.request.expected:
            self._end(Outcome.ANSWERED, "")
            return
        got, expected = ([word.strip() for word in text.split(";")] for text in (self.text, self.request.expected))
        if not self.request.most and set(got) - set(expected):
            outcome = Outcome.CROSSED
        else:
            outcome = Outcome.DOUBLED if len(got) > len(expected) else Outcome.LOST
        self._end(outcome, f"got {self.text!r}\n  of {self.request.expected!r}")

    def _end(self, outcome: Outcome, why: str) -> None:
        self.outcome = outcome
        if why:
            self.note(why)


def _text(answer: dict[str, Any]) -> str:
    [choice] = answer["choices"]
    return str(choice["text"] if "text" in choice else choice["message"]["content"])
