"""Somebody asks the older release for answers that only the newer one knows how to tell. JSON is just a text."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from random import Random

from tests.chaos.clients import Client
from tests.chaos.forms import Form
from tests.chaos.wire import Broken, Wire
from tests.upgrade.fleet import Fleet
from tests.upgrade.sides import THIS, Side

PAUSE = 0.3
_KNOWN = (Form.TEXT, Form.THOUGHTS, Form.JSON, Form.STORED)
_EXCUSES = ("other_version", "job_not_found")
"""Jobs are forgotten too, and not everybody may see them."""


class Strangers:
    """Polls for jobs, and follows them, through gateways of the older side."""

    def __init__(self, clients: Collection[Client], fleet: Fleet, older: Side, keys: Collection[str]) -> None:
        self._clients = clients
        self._fleet = fleet
        self._older = older
        self._keys = keys
        self._random = Random(1)
        self.told = Counter[str]()
        """What they were told."""
        self.garbage: list[str] = []
        """What they were told of an answer."""

    async def watch(self) -> None:
        """Until cancelled. This tree knows whatever a newer release that is made up has of it."""
        while self._older is not THIS:
            with suppress(Broken, TimeoutError):
                async with asyncio.timeout(10):
                    await self._look()
            await asyncio.sleep(PAUSE)

    async def _look(self) -> None:
        jobs = [client.job for client in self._clients if client.job and client.request.form not in _KNOWN]
        gateways = [each for each in self._fleet.gateways_of(self._older) if each.child.up.is_set()]
        if not jobs or not gateways:
            return
        job, gateway = self._random.choice(jobs[-20:]), self._random.choice(gateways)
        for key in self._keys:
            for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/events"):
                async with Wire(gateway.port, key).request("GET", path, whose="a stranger") as answer:
                    said = (await answer.body()).decode()
                    if answer.status == 200 and not said.startswith("{"):
                        self._note("events", said, job)
                    elif answer.status == 200:
                        self._note("state", json.loads(said)["result"], job)
                    elif answer.status != 204:
                        error = json.loads(said)["error"]["code"]
                        self._note(f"{answer.status} {error}", "" if error in _EXCUSES else error, job)

    def _note(self, told: str, garbage: object, job: str) -> None:
        self.told[told] += 1
        if garbage:
            self.garbage.append(f"the older release says of {job}: {str(garbage)[:300]}")
