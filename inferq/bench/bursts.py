"""Bursts of clients, in rounds in which the servers take turns."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from inferq.bench.answers import TimedAnswer, understand
from inferq.bench.contender import Contender
from inferq.bench.machine import percentile
from inferq.bench.prompts import STORY, PromptMaker
from inferq.errors import GatewayError

_SHORT = 16
"""Words of the first prompt, and tokens of an answer that only warms up."""

Case = tuple[int, int]
"""Tokens of the prompts, and clients at once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured."""

    clients: Sequence[int]
    prompt_tokens: Sequence[int]
    tokens: int
    rounds: int
    seconds: float
    """After which nothing is begun any more."""
    cached: bool
    tasks: Sequence[str] = (STORY,)
    """Of which each round has one, in turns."""
    spares: bool = False
    """A server that cannot be measured is left out, unless it is the first."""

    @property
    def cases(self) -> list[Case]:
        return [(prompt, clients) for prompt in self.prompt_tokens for clients in self.clients]


@dataclass(frozen=True, slots=True)
class Burst:
    """So many clients who ask one server at one time, each once."""

    contender: int
    case: Case
    round: int
    answers: list[TimedAnswer]
    failures: list[str]

    @property
    def figures(self) -> dict[str, float]:
        """By name: seconds, and tokens a second; without those that cannot be told of what came."""
        if not self.answers:
            return {}
        firsts = [answer.times[0] for answer in self.answers]
        rates = [answer.rate for answer in self.answers if answer.rate]
        gaps = [gap for answer in self.answers for gap in answer.gaps]
        found = {"first_token": statistics.median(firsts), "slowest_first_token": max(firsts)}
        if rates:
            found["tokens_per_second"] = statistics.median(rates)
        found["tokens_per_second_together"] = sum(answer.tokens for answer in self.answers) / max(
            answer.ended for answer in self.answers
        )
        if gaps:
            found |= {"gap_p95": percentile(gaps, 95), "worst_gap": max(gaps)}
        return found


@dataclass(slots=True)
class Bench:
    """Of some servers; what is there is there, whenever it ends."""

    contenders: Sequence[Contender]
    plan: Plan
    watch: Callable[[str], object] = lambda _: None
    """Is told what is done next."""
    bursts: list[Burst] = field(default_factory=list)
    left_out: dict[int, str] = field(default_factory=dict)
    """Why, of those that cannot be measured."""
    _makers: dict[tuple[int, int], PromptMaker] = field(default_factory=dict)

    async def run(self) -> None:
        """Raises GatewayError where a server cannot be measured at all."""
        try:
            for number, contender in enumerate(self.contenders):
                self.watch(f"{contender.name}: warming up")
                try:
                    await self._warm(number, contender)
                except GatewayError as exc:
                    if number == 0 or not self.plan.spares:
                        raise
                    self.left_out[number] = str(exc).removeprefix(f"{contender.name}: ")
            end = time.monotonic() + self.plan.seconds
            for turn in range(self.plan.rounds):
                for case in self.plan.cases:
                    if time.monotonic() < end:
                        await self._measure(turn, case)
        finally:
            for contender in self.contenders:
                await contender.close()

    async def _warm(self, number: int, contender: Contender) -> None:
        """Learn how many words make the prompts, and have one of each length read, which is not counted."""
        first = await contender.meet(PromptMaker(_SHORT, cached=False).make(), _SHORT)
        for wished in self.plan.prompt_tokens:
            words = wished
            second = await contender.ask(PromptMaker(wished, cached=False).make(), _SHORT)
            if first.prompt_tokens and second.prompt_tokens and wished != _SHORT:
                each = (second.prompt_tokens - first.prompt_tokens) / (wished - _SHORT)
                words = round(_SHORT + (wished - first.prompt_tokens) / max(each, 0.1))
            self._makers[number, wished] = maker = PromptMaker(words, cached=self.plan.cached)
            if self.plan.cached:
                await contender.ask(maker.make(), _SHORT)

    async def _measure(self, turn: int, case: Case) -> None:
        order = [each for each in enumerate(self.contenders) if each[0] not in self.left_out]
        for number, contender in order if turn % 2 == 0 else reversed(order):
            told = f"{contender.name}: round {turn + 1} of {self.plan.rounds}, prompts of {case[0]} tokens"
            self.watch(f"{told}, {case[1]} client{'s' * (case[1] > 1)}")
            maker, task = self._makers[number, case[0]], self.plan.tasks[turn % len(self.plan.tasks)]
            listening = (contender.listen(maker.make(task), self.plan.tokens) for _ in range(case[1]))
            burst = Burst(number, case, turn, [], [])
            for heard in await asyncio.gather(*listening, return_exceptions=True):
                try:
                    if isinstance(heard, BaseException):
                        raise heard
                    burst.answers.append(understand(heard))
                except GatewayError as exc:
                    burst.failures.append(str(exc).removeprefix(f"{contender.name}: "))
            self.bursts.append(burst)
