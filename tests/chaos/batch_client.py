"""Clients of batches: each line is to be told once, as it was to be, and nothing that was told goes back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from gateway.batches.line_jobs import MOST_ATTEMPTS, job_id_of
from tests.chaos.clients import PATIENCE
from tests.chaos.failures import Ended, Failure
from tests.chaos.forms import RESPONSES, Form
from tests.chaos.judgement import difference
from tests.chaos.plan import Request
from tests.chaos.reading import Reading, code_of
from tests.chaos.response_reading import ResponseReading
from tests.chaos.stored import Stored
from tests.chaos.storing_clients import FileClient

_FINAL = ("completed", "failed", "expired", "cancelled")


class BatchClient(FileClient):
    """Stores a file of requests, begins a batch of it, asks now and then how far it is, and reads what came of it."""

    patience = 2 * PATIENCE  # everybody else goes first

    @property
    def jobs(self) -> Collection[str]:
        """Those of its lines, the first of which is line 1."""
        endpoint, lines = self.request.body["endpoint"], range(1, len(self.request.before) + 1)
        return [job_id_of(self.job, endpoint, line, each) for line in lines for each in range(MOST_ATTEMPTS)]

    async def _ask_once(self) -> None:
        self._begin()
        self.asked_twice |= self.attempts > 0
        endpoint, named = self.request.body["endpoint"], {"number": self.name}
        lines = [
            {"custom_id": name, "method": "POST", "url": endpoint, "body": line.body}
            for name, line in self._lines.items()
        ]
        file = await self._store("\n".join(map(json.dumps, lines)).encode(), b"batch")
        about = {"input_file_id": file, "endpoint": endpoint, "completion_window": "24h", "metadata": named}
        before = self.attempts
        begun = await self._send(self.request.path, about)
        self.asked_twice |= self.attempts > before + 1  # one may have begun, and nobody could say so
        self.note(begun["id"])
        self.job = begun["id"]
        await self._read_results(await self._ended())

    async def _cancel(self) -> None:
        """And read what came of it. One that has ended meanwhile is left as it is."""
        told = await self._call("GET", self._path)
        if told["status"] not in _FINAL:
            asked = time.monotonic()
            with suppress(Failure):  # it may end just now
                told = await self._call("POST", f"{self._path}/cancel")
            self.note(told["status"])
            answered, said = time.monotonic(), told["status"]
            told = await self._ended()
            if (said, told["status"]) == ("cancelling", "completed") and not self._may_have_forgotten(asked, answered):
                raise Failure(f"it was to be cancelled, and is {told['status']}")
        await self._read_results(told)

    @property
    def _path(self) -> str:
        return f"{self.request.path}/{self.job}"

    @property
    def _lines(self) -> dict[str, Request]:
        return {f"{self.name}-{place}": line for place, line in enumerate(self.request.before)}

    async def _ended(self) -> Mapping[str, Any]:
        """It, once it has ended."""
        counts = (0, 0, 0)
        while True:
            told: Mapping[str, Any] = await self._call("GET", self._path)
            before, counts = counts, tuple(told["request_counts"][each] for each in ("total", "completed", "failed"))
            if any(now < then for now, then in zip(counts, before, strict=True)):
                self.note(f"its counts were {before}, and are {counts}")
                # Who feeds it goes on with what he knows, and notices only where he needs what is forgotten.
                if not self._may_have_forgotten(self.accepted[0], time.monotonic()):
                    raise Failure(f"its counts were {before}, and are {counts}")
            if told["status"] in _FINAL:
                self.note(told["status"])
                return told
            await asyncio.sleep(0.5)

    async def _read_results(self, told: Mapping[str, Any]) -> None:
        """Read its files. Raises Failure where they, or its counts, are not as they were to be."""
        self.end = Reading()
        cancelled = told["status"] == "cancelled"
        if not (cancelled or told["status"] == "completed"):
            raise Failure(f"it is {told['status']}: {told['errors']}")
        files = [told["output_file_id"], told["error_file_id"]]
        if cancelled and not told["in_progress_at"] and not any(files):
            return  # before anybody had looked at its lines
        output, errors = [await self._results(each) for each in files]
        names = [each["custom_id"] for each in (*output, *errors)]
        if sorted(names) != sorted(self._lines):
            raise Failure(f"it has the lines {sorted(self._lines)}, but told are {sorted(names)}")
        tokens = sum(self._judge_answer(each) for each in output)
        refused = sum(self._judge_error(each, cancelled=cancelled) for each in errors)
        counts, wanted = told["request_counts"], {"total": len(names), "completed": len(output), "failed": refused}
        if counts != wanted:
            raise Failure(f"its counts are {counts}, not {wanted}")
        if told["usage"]["output_tokens"] != tokens and not self._may_have_forgotten(*self.accepted):
            raise Failure(f"its usage is {told['usage']}, but its lines have {tokens} tokens")

    async def _results(self, file: str | None) -> Sequence[Mapping[str, Any]]:
        return [json.loads(line) for line in (await self._content(file)).splitlines()] if file else []

    def _judge_answer(self, told: Mapping[str, Any]) -> int:
        """Of a line; how many tokens it has."""
        name, body = told["custom_id"], told["response"]["body"]
        line = self._lines[name]
        if line.answer is None or told["error"] or told["response"]["status_code"] != 200:
            raise Failure(f"{name} is answered with {told}")
        reading = ResponseReading() if line.path == RESPONSES else Reading()
        reading.take_whole(body)
        if reading.text != line.expected:
            raise Failure(f"of {name}: {difference(reading.text, line.expected)}")
        if wrong := reading.wrong(line):
            raise Failure(f"of {name}: {wrong}")
        if line.path == RESPONSES or line.form is Form.STORED:
            known = body if line.path == RESPONSES else None
            self.kept.append(Stored(line, f"{line.path}/{body['id']}", self.accepted[0], known))
        return int((reading.usage or {}).get("completion_tokens", 0))

    def _judge_error(self, told: Mapping[str, Any], *, cancelled: bool) -> bool:
        """Whether its endpoint has refused a line, and not the cancel."""
        name, response = told["custom_id"], told["response"]
        if response is None:
            if not cancelled or told["error"]["code"] != "batch_cancelled":
                raise Failure(f"{name} is told as {told}")
            return False
        if response["status_code"] != 400 or self._lines[name].answer is not None:
            error = response["body"]["error"]
            raise Ended(code_of(error), f"{name}, {response['status_code']}: {error['message']}")
        return True
