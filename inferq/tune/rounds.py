"""Candidates against the present settings, in rounds in which all take turns, with the bursts of `inferq bench`."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from inferq.bench.bursts import Bench, Burst, Case, Plan
from inferq.bench.contender import Contender
from inferq.bench.prompts import QUOTE, STORY
from inferq.tune.candidates import PRESENT, Proposal
from shared import footprint, memory
from shared.catalogue import Model
from shared.config import Config
from shared.errors import InferqError
from worker.engines.child import SOCKET
from worker.engines.host import EngineHost
from worker.engines.llama_cpp_files import check_files, host_parameters, step_of
from worker.engines.own_engine import choose_host

ROUNDS = 10
"""At most; as a rule the time is over before."""
LEAST = 3
"""Of which it takes so many to be believed."""
SIFTING = 2
"""Rounds, one of each task, after which those that show no gain are out."""
PAYS, HARMS = 1.05, 0.95
"""Times as fast: what is worth a change, and what is too slow in any of the three."""
_PROMISES = 1.0
_LONG, _SHORT, _ANSWER, _MANY = 256, 48, 32, 8
"""Tokens of a prompt that is read alone, of those that come at once, of an answer; and how many come."""
_LONGER_GAP, _SHORT_GAP = 1.25, 0.4
"""A pause in a stream may become so many times as long, or be so many seconds."""
LEAST_CONTEXT = _MANY * (_SHORT + _ANSWER + 128)
"""Tokens: with fewer not all of that fits; a chat's template adds some."""
_ROOM = 0.8
"""Of the memory that is there."""


class _TwoCases(Plan):
    @property
    def cases(self) -> list[Case]:
        return [(_LONG, 1), (_SHORT, self.clients[-1])]


@dataclass(slots=True)
class Trial:
    """What was found of a candidate: times as fast as the present settings, of each round."""

    candidate: Proposal
    prompt: list[float] = field(default_factory=list)
    answer: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)
    gap: list[float] = field(default_factory=list)
    """Seconds of the worst pauses, while the prompts of others were read."""
    longer: list[float] = field(default_factory=list)
    """How many times as long as now they are."""
    failure: str = ""

    @property
    def speeds(self) -> list[float]:
        """Of each round, of the three figures together."""
        return [statistics.geometric_mean(each) for each in zip(self.prompt, self.answer, self.together, strict=False)]

    @property
    def speed(self) -> float:
        return statistics.median(self.speeds) if self.speeds else 0.0

    @property
    def why_not(self) -> str:
        """Why it is not taken; empty where it pays."""
        if self.failure:
            return self.failure
        if not self.speeds:
            return "there was no time"
        if len(self.speeds) < LEAST:
            return f"fewer than {LEAST} rounds: give it more --seconds"
        if self.speed < PAYS:
            return f"less than {PAYS} times as fast"
        for name in ("prompt", "answer", "together"):
            if statistics.median(getattr(self, name)) < HARMS:
                return f"slower for {_WORDS[name]}"
        if min(self.speeds) < HARMS:
            return "not in every round"
        if statistics.median(self.longer) > _LONGER_GAP and statistics.median(self.gap) > _SHORT_GAP:
            return "others would wait longer for prompts"
        return self.candidate.offer


_WORDS = {"prompt": "a prompt", "answer": "one answer", "together": "several answers"}


class Rounds:
    """Of one model, within so many seconds. `watch` is told what is done."""

    def __init__(self, model: Model, config: Config, seconds: float, watch: Callable[[str], object]) -> None:
        self._model, self._config, self._watch = model, config, watch
        self._end = time.monotonic() + seconds
        self.trials: list[Trial] = []

    @property
    def left(self) -> float:
        return self._end - time.monotonic()

    def try_all(self, candidates: Sequence[Proposal], share: float = 1.0) -> None:
        """Within a `share` of the time that is left: as many of them, the first ones, as can be measured well in that,
        and at one time as many as the memory has room for."""
        end = time.monotonic() + self.left * share
        waiting = [Trial(candidate) for candidate in candidates]
        self.trials += waiting
        while waiting and time.monotonic() < end:
            with ExitStack() as closing:
                make, size = closing.enter_context(_serve(PRESENT, self._model, self._config))
                begun = time.monotonic()
                self._measure([make], 1, end)
                # It was warmed up and had a round, and as long takes each of the others twice, till it is sifted.
                once, begun = time.monotonic() - begun, time.monotonic()
                most = int(memory.available() * _ROOM / max(size, 1))
                waiting = waiting[: max(1, int((end - begun) / once / 2))]
                group, waiting = waiting[: max(1, most)], waiting[max(1, most) :]
                until = begun + (end - begun) * len(group) / (len(group) + len(waiting))
                served = []
                for trial in group:
                    if time.monotonic() > until:
                        break
                    self._watch(f"{trial.candidate.name}: starting")
                    try:
                        found, _ = closing.enter_context(_serve(trial.candidate, self._model, self._config))
                        served.append((trial, found))
                    except InferqError as exc:
                        trial.failure = f"cannot be served: {str(exc).splitlines()[0]}"
                self._sift(make, served, until)

    def _sift(
        self, present: Callable[[], Contender], served: list[tuple[Trial, Callable[[], Contender]]], until: float
    ) -> None:
        for rounds in (SIFTING, ROUNDS - SIFTING):
            if not served:
                return
            bench = self._measure([present, *(make for _, make in served)], rounds, until)
            for number, (trial, _) in enumerate(served, 1):
                if reason := bench.left_out.get(number):
                    trial.failure = f"fails: {reason}"
                _note(trial, bench.bursts, number)
            served = [each for each in served if each[0].speed >= _PROMISES and not each[0].failure]

    def _measure(self, makers: Sequence[Callable[[], Contender]], rounds: int, until: float) -> Bench:
        """With those bursts that end in time."""
        left = max(0.0, until - time.monotonic())
        plan = _TwoCases((1, _MANY), (_LONG, _SHORT), _ANSWER, rounds, left, False, (STORY, QUOTE), spares=True)
        bench = Bench([make() for make in makers], plan, self._watch)
        with suppress(TimeoutError):
            asyncio.run(asyncio.wait_for(bench.run(), left))
        return bench


def _note(trial: Trial, bursts: Sequence[Burst], number: int) -> None:
    """What the bursts say of one of them, round by round, beside the first, which is as it is now."""
    by_place = {(burst.round, burst.case[0], burst.contender): burst for burst in bursts}
    for burst in bursts:
        if burst.contender == number and burst.failures:
            trial.failure = trial.failure or f"fails: {burst.failures[0]}"
    for turn in sorted({burst.round for burst in bursts}):
        pairs = [(by_place.get((turn, prompt, 0)), by_place.get((turn, prompt, number))) for prompt in (_LONG, _SHORT)]
        figures = [(now.figures, new.figures) for now, new in pairs if now and new and now.answers and new.answers]
        if len(figures) < len(pairs):
            continue
        (now, new), (now_many, new_many) = figures
        if "tokens_per_second" not in now or "tokens_per_second" not in new:
            continue
        trial.prompt.append(now["first_token"] / new["first_token"])
        trial.answer.append(new["tokens_per_second"] / now["tokens_per_second"])
        trial.together.append(new_many["tokens_per_second_together"] / now_many["tokens_per_second_together"])
        trial.gap.append(new_many.get("worst_gap", 0.0))
        trial.longer.append(trial.gap[-1] / max(now_many.get("worst_gap", 0.0), 1e-3))


@contextmanager
def _serve(candidate: Proposal, model: Model, config: Config) -> Iterator[tuple[Callable[[], Contender], int]]:
    """What makes a contender that asks an engine host of its own, and how many bytes of memory that takes."""
    model, config = candidate.apply(model, config)
    files, key = check_files(model), secrets.token_urlsafe()
    parameters = host_parameters(model, files, config, step_of(files, config), key)
    module, told = choose_host(config.llama_server, parameters)
    host = EngineHost(module, model.id, told)
    try:
        yield (
            lambda: Contender(candidate.name, "http://localhost", key, model.id, host.directory / SOCKET),
            footprint.resident(host.pid),
        )
    finally:
        host.close()
