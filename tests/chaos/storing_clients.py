"""Clients of what is stored: of responses, conversations and files."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from typing import Any

from tests.chaos.clients import Client
from tests.chaos.failures import Failure, Forgotten, Gap, Refused
from tests.chaos.forms import FILES, Form
from tests.chaos.judgement import Fate, difference
from tests.chaos.plan import Kind, Request
from tests.chaos.response_reading import ResponseReading
from tests.chaos.stored import Stored
from tests.chaos.wire import Broken


class StoringClient(Client):
    """Notes what is stored once it has its answer: a chat, unless it is of another kind."""

    def _judge(self) -> None:
        super()._judge()
        if self.fate is Fate.ANSWERED:
            self._keep()

    def _keep(self) -> None:
        self.kept.append(Stored(self.request, f"{self.request.path}/{self.end.job}", self.sent))


class _Sender(StoringClient):
    """Asks for what is done at once."""

    async def _send(self, path: str, body: dict[str, Any] | None = None, form: bytes | None = None) -> Any:
        self.sent = time.monotonic()
        while True:
            self.attempts += 1
            async with (
                self._patiently("storing"),
                self.wire.request("POST", path, body, whose=self.name, form=form) as answer,
            ):
                await self._accepted(answer, 200)
                return await answer.json()


class ResponseClient(_Sender):
    """Asks for a response, and goes on with its stream after the last event that it has."""

    reader = ResponseReading
    end: ResponseReading

    async def _ask_once(self) -> None:
        if self.request.kind is Kind.FOLLOW:
            await self._stream()
        else:
            await super()._ask_once()

    async def _submit(self) -> None:
        while True:
            async with self._patiently("submitting"), self._post() as answer:
                await self._accepted(answer, 200)
                self.job = (await answer.json())["id"]
                return

    async def _poll(self) -> None:
        while (told := await self._call("GET", self._path))["status"] in ("queued", "in_progress"):
            await asyncio.sleep(0.5)
        self._take_whole(told)

    async def _follow(self) -> None:
        reading = self.end if self.end.job == self.job else ResponseReading()
        while True:
            self.end = reading
            after = f"&starting_after={reading.number}" if reading.number >= 0 else ""
            try:
                path = f"{self._path}?stream=true{after}"
                async with self.wire.request("GET", path, whose=self.name, resumable=True) as answer:
                    await self._accepted(answer, 200)
                    await self._read(answer, reading)
                    return
            except Gap as exc:
                if not self._may_have_forgotten(self.accepted[0], time.monotonic()):
                    raise
                self.note(f"reads anew: {exc}")
                self.read_anew += 1
                reading = ResponseReading()
            except Broken as exc:
                self.note(f"following after {reading.number}: {exc}")
                self._compare(reading)
                await self._pause()
            except Refused as exc:
                await asyncio.sleep(exc.pause)

    @property
    def _path(self) -> str:
        return f"/v1/responses/{self.job}"

    def _keep(self) -> None:
        self.kept.append(Stored(self.request, self._path, self.sent, self.end.told))


class TalkingClient(ResponseClient):
    """Asks for one response after the other, in a conversation, or each after the one before."""

    async def _ask(self) -> None:
        asked = self.request
        while True:
            begun = time.monotonic()
            try:
                return await self._talk(asked, begun)
            except Failure as exc:
                if not (_missing(exc) and self._may_have_forgotten(begun, time.monotonic())):
                    raise
                self.note(f"begins anew: {exc}")
                self.forgotten += 1
                self.asked_twice = True
                self.kept.clear()
                # Some of its keys may be known, with requests that named what is forgotten.
                before = tuple(replace(each, key=each.key and f"{each.key}!") for each in asked.before)
                asked = replace(asked, key=asked.key and f"{asked.key}!", before=before)

    async def _talk(self, last: Request, begun: float) -> None:
        """All turns. Raises Failure, also where what a turn refers to is forgotten."""
        said, more = list[tuple[str, str]](), dict[str, Any]()
        talk = last.form is Form.TALK
        if talk:
            conversation = (await self._send("/v1/conversations", {}))["id"]
            more = {"conversation": conversation}
        for turn in (*last.before, last):
            self.request = replace(turn, form=last.form, body={**turn.body, **more})
            self.job, self.seen, self.end, self.attempts = "", "", ResponseReading(), 0
            self.accepted = (0.0, 0.0)
            await super()._ask()
            if self.end.text != turn.expected:
                raise Failure(f"turn {len(said) // 2}: {difference(self.end.text, turn.expected)}")
            said += [("user", turn.expected), ("assistant", turn.expected)]
            if turn is not last:
                self._keep()
            if not talk:
                more = {"previous_response_id": self.job}
        path = f"/v1/conversations/{conversation}/items" if talk else f"{self._path}/input_items"
        told = said if talk else said[:-1]
        self.kept.append(Stored(last, f"{path}?order=asc&limit=100", begun, told))


class FileClient(_Sender):
    """Stores a file, at once or in parts, and reads it."""

    async def _ask_once(self) -> None:
        blob = self.request.expected.encode()
        self._begin()
        file = await (self._store_parts(blob) if self.request.form is Form.PARTS else self._store(blob))
        self.end.text = (await self._content(file, blob)).decode()

    def _begin(self) -> None:
        self.accepted = (time.monotonic(), math.inf)
        self.kept.clear()

    async def _content(self, file: str, known: bytes | None = None) -> bytes:
        """What a file is, which is noted as what is `known` of it, or as what it is."""
        path, (begun, _) = f"{FILES}/{file}/content", self.accepted
        if known is not None:
            self.kept.append(Stored(self.request, path, begun, known))
        while True:
            async with self._patiently("reading"), self.wire.request("GET", path, whose=self.name) as answer:
                await self._accepted(answer, 200)
                blob = await answer.body()
                if known is None:
                    self.kept.append(Stored(self.request, path, begun, blob))
                return blob

    async def _store(self, blob: bytes, purpose: bytes = b"user_data") -> str:
        name = b"a.jsonl" if purpose == b"batch" else b"a.txt"
        form = _field(b"purpose", purpose) + _field(b'file"; filename="' + name, blob) + b"--b--\r\n"
        return str((await self._send(FILES, form=form))["id"])

    async def _store_parts(self, blob: bytes) -> str:
        about = {"filename": "a.txt", "purpose": "user_data", "mime_type": "text/plain", "bytes": len(blob)}
        upload = (await self._send("/v1/uploads", about))["id"]
        middle = len(blob) // 2
        parts = []
        for piece in (blob[:middle], blob[middle:]):
            form = _field(b'data"; filename="a', piece) + b"--b--\r\n"
            parts.append((await self._send(f"/v1/uploads/{upload}/parts", form=form))["id"])
        done = await self._send(f"/v1/uploads/{upload}/complete", {"part_ids": parts})
        if done["file"] is None:  # Redis forgot it after it was made, and before the upload named it
            raise (
                Forgotten if self._may_have_forgotten(self.accepted[0], time.monotonic()) else Failure("it has no file")
            )
        return str(done["file"]["id"])

    def _keep(self) -> None:
        """Noted already."""


def _missing(exc: Failure) -> bool:
    """Whether what the request refers to is not there, or has an end no longer."""
    return any(words in str(exc) for words in ("not_stored", "not_found", "has not ended yet"))


def _field(name: bytes, value: bytes) -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="' + name + b'"\r\n\r\n' + value + b"\r\n"
