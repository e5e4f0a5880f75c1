"""Honest clients: each wants its answers, and judges them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from random import Random

import openai
from openai import AsyncOpenAI

from tests.calls import said
from tests.chaos.casting import client_for
from tests.chaos.clients import Client
from tests.chaos.forms import FORMS
from tests.chaos.judgement import Fate
from tests.chaos.plan import Request, echoes
from tests.chaos.wire import Wire

_BATCH = 500
"""Requests that are drawn at one time."""


@dataclass(slots=True)
class Crowd:
    """All honest clients."""

    wire: Wire
    client: AsyncOpenAI
    """The unmodified one, with its retries."""
    real: str
    """The model in an engine."""
    random: Random
    until: float
    """When nobody begins anything more, by the loop's clock."""
    fates: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    """Answers that did not come, or were not right."""
    refusals: list[str] = field(default_factory=list)
    _requests: Iterator[Request] = field(init=False)

    def __post_init__(self) -> None:
        forms = [form for form in FORMS if client_for(form) is Client]  # retention is of seconds: nothing is stored
        self._requests = (request for _ in count() for request in echoes(self.random, _BATCH, ("echo", "echo"), forms))

    async def ask(self, most: int) -> None:
        """So many clients, each with one request after the other. One in eight speaks to the engine, one asks for
        several choices, one leaves and comes again.
        """
        others: list[Callable[[], Awaitable[None]]] = [self._complete, self._choose, self._come_again]
        kinds = [others[number % 8] if number % 8 < len(others) else self._echo for number in range(most)]
        await asyncio.gather(*map(self._repeat, kinds))

    async def _repeat(self, ask: Callable[[], Awaitable[None]]) -> None:
        while asyncio.get_running_loop().time() < self.until:
            try:
                await ask()
            except openai.OpenAIError as exc:
                self._note(ask.__name__, f"{type(exc).__name__}: {exc}")
            await asyncio.sleep(self.random.uniform(0, 0.5))

    async def _echo(self) -> None:
        """As in `make chaos`: streams, whole answers, polled and followed ones, cancels, keys."""
        client = Client(
            request=next(self._requests),
            wire=self.wire,
            random=Random(self.random.random()),
            refusals=self.refusals,
            recoveries=[],
            crashes=(),
        )
        await client.run()
        if client.fate in (Fate.ANSWERED, Fate.CANCELLED):
            self.fates[f"{client.request.kind}, {client.fate}"] += 1
        else:
            self._note(f"{client.request.kind}, {client.fate}", "; ".join(what for _, what in client.story))

    async def _complete(self) -> None:
        """So many tokens of a real model."""
        most = self.random.randint(4, 24)
        answer = await self.client.completions.create(
            model=self.real, prompt="a b c", max_tokens=most, extra_body={"ignore_eos": True}
        )
        given = answer.usage.completion_tokens if answer.usage else 0
        self._judge("engine", given == most, f"{given} tokens, not {most}")

    async def _choose(self) -> None:
        """Several choices, streamed."""
        text, n = f"{self.random.random()} is a number", 3
        got = [""] * n
        async for chunk in await self.client.chat.completions.create(
            model="echo", messages=said(text), n=n, stream=True
        ):
            for choice in chunk.choices:
                got[choice.index] += choice.delta.content or ""
        self._judge("choices", got == [text] * n, f"{got}, not {n} times {text!r}")

    async def _come_again(self) -> None:
        """A client that is less patient than its answer is long: its retries join the job."""
        text = " ".join(f"{self.random.random()}" for _ in range(80))
        hasty = self.client.with_options(timeout=0.6, max_retries=60)
        answer = await hasty.chat.completions.create(model="echo", messages=said(text))
        self._judge("comes again", answer.choices[0].message.content == text, f"not {text!r}")

    def _judge(self, kind: str, right: bool, why: str) -> None:
        if right:
            self.fates[f"{kind}, answered"] += 1
        else:
            self._note(kind, why)

    def _note(self, kind: str, why: str) -> None:
        self.fates[f"{kind}, BROKEN"] += 1
        self.broken.append(f"{kind}: {why[:300]}")
