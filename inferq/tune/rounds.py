"""Candidates against the present settings, in rounds in which all take turns, with the bursts of `inferq bench`.

The present settings stand at both ends of each round, and the better of the two counts: what the machine did meanwhile
makes nobody look faster. Those that promise something are measured anew, so that chance is not chosen.
"""

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

SIFTING = 2
"""Rounds, one of each task, after which those that show no gain are out."""
LAST, LEAST = 8, 3
"""Rounds of the others anew, if there is time; of which it takes so many to be believed."""
FINALISTS = 3
"""That are measured anew."""
PROMISES, PAYS, HARMS = 1.02, 1.05, 0.95
"""Times as fast: what is measured anew, what is worth a change, and what is too slow in any of the three."""
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
    loss: float | None = None
    """By what part the perplexity is higher, of what changes answers."""
    final: bool = False
    """It is measured anew, and may be taken."""

    @property
    def speeds(self) -> list[float]:
        """Of each round, of the three figures together."""
        return [statistics.geometric_mean(each) for each in zip(self.prompt, self.answer, self.together, strict=False)]

    @property
    def speed(self) -> float:
        return statistics.median(self.speeds) if self.speeds else 0.0

    @property
    def why_not(self) -> str:
        """Why it is not taken, or not measured anew; empty where it is."""
        if self.failure:
            return self.failure
        if not self.speeds:
            return "there was no time"
        if self.final and len(self.speeds) < LEAST:
            return f"fewer than {LEAST} rounds: give it more --seconds"
        if self.speed < (least := PAYS if self.final else PROMISES):
            return f"less than {least} times as fast"
        for name in ("prompt", "answer", "together"):
            if statistics.median(getattr(self, name)) < HARMS:
                return f"slower for {_WORDS[name]}"
        if self.final and min(self.speeds) < HARMS:
            return "not in every round"
        if statistics.median(self.longer) > _LONGER_GAP and statistics.median(self.gap) > _SHORT_GAP:
            return "others would wait longer for prompts"
        return self.candidate.offer if self.final else ""

    @property
    def verdict(self) -> str:
        return self.why_not or ("pays" if self.final else "promises something")


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

    def try_all(self, candidates: Sequence[Proposal], share: float = 1.0, *, final: bool = False) -> list[Trial]:
        """Within a `share` of the time that is left: as many of them, the first ones, as there is time for, and at one
        time as many as the memory has room for."""
        end = time.monotonic() + self.left * share
        waiting = tried = [Trial(candidate, final=final) for candidate in candidates]
        self.trials += tried
        while waiting and time.monotonic() < end:
            with ExitStack() as closing:
                make, size = closing.enter_context(_serve(PRESENT, self._model, self._config))
                begun = time.monotonic()
                self._measure([make], 1, end)
                # It was warmed up and had a round; half of that takes a start, and a round.
                once, begun = time.monotonic() - begun, time.monotonic()
                most = int(memory.available() * _ROOM / max(size, 1))
                each = once * (1 + (LEAST if final else SIFTING)) / 2
                fit = min(len(waiting), max(1, int((end - begun) / each) - 2))  # it is there twice itself
                count = max(1, min(most, fit))
                group, waiting = waiting[:count], waiting[count:]  # what it left, where it took less than was thought
                until = begun + (end - begun) * count / fit
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
                if not served:
                    continue
                makers = [make, *(found for _, found in served), make]
                bench = self._measure(makers, LAST if final else SIFTING, until)
                for number, (trial, _) in enumerate(served, 1):
                    if reason := bench.left_out.get(number):
                        trial.failure = f"fails: {reason}"
                    note(trial, bench.bursts, number, (0, len(served) + 1))
        return tried

    def _measure(self, makers: Sequence[Callable[[], Contender]], rounds: int, until: float) -> Bench:
        """With those bursts that end in time."""
        left = max(0.0, until - time.monotonic())
        plan = _TwoCases((1, _MANY), (_LONG, _SHORT), _ANSWER, rounds, left, False, (STORY, QUOTE), spares=True)
        bench = Bench([make() for make in makers], plan, self._watch)
        with suppress(TimeoutError):
            asyncio.run(asyncio.wait_for(bench.run(), left))
        return bench


def note(trial: Trial, bursts: Sequence[Burst], number: int, present: Sequence[int]) -> None:
    """What the bursts say of one of them, round by round, beside those that are as it is now."""
    by_place = {(burst.round, burst.case[0], burst.contender): burst for burst in bursts}
    for burst in bursts:
        if burst.contender == number and burst.failures:
            trial.failure = trial.failure or f"fails: {burst.failures[0]}"
    for turn in sorted({burst.round for burst in bursts}):
        whole = [[by_place.get((turn, prompt, each)) for prompt in (_LONG, _SHORT)] for each in (number, *present)]
        figures = [[burst.figures for burst in each if burst and burst.answers] for each in whole]
        if any(len(each) < len((_LONG, _SHORT)) for each in figures):
            continue
        (new, new_many), *others = figures
        now, now_many = (_best(each) for each in zip(*others, strict=True))
        if "tokens_per_second" not in now or "tokens_per_second" not in new:
            continue
        trial.prompt.append(now["first_token"] / new["first_token"])
        trial.answer.append(new["tokens_per_second"] / now["tokens_per_second"])
        trial.together.append(new_many["tokens_per_second_together"] / now_many["tokens_per_second_together"])
        trial.gap.append(new_many.get("worst_gap", 0.0))
        trial.longer.append(trial.gap[-1] / max(now_many.get("worst_gap", 0.0), 1e-3))


def _best(bursts: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of each figure that all of them have, the better one: the rate that is higher, or the time that is shorter."""
    names = set.intersection(*(set(each) for each in bursts))
    return {name: (max if "per_second" in name else min)(each[name] for each in bursts) for name in names}


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
