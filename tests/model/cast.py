"""Who acts: executions and clients as their processes know them, and what they may do."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st

from shared.protocol import Accepted
from shared.ticket import Attempt
from tests.model.pair import Pair, Sending

LEASE = 2000
MODELS = ("m", "n")
GATEWAYS = ("iq:reply:2:g1", "iq:reply:g2")
WORKERS = {"w1": "m", "w2": "m", "w3": "n"}

number = st.integers(0, 5)
which_run = st.integers(0, 11)
sometimes = st.sampled_from([False, False, False, True])
sendings = st.sampled_from(
    [Sending.ONCE] * 7 + [Sending.TWICE, Sending.TWICE, Sending.LATE, Sending.LATE, Sending.LOST]
)
models = st.sampled_from(["m", "m", "m", "n"])
gateways = st.sampled_from(GATEWAYS)
workers = st.sampled_from(list(WORKERS))

T = TypeVar("T")
Act = TypeVar("Act", bound=Callable[..., None])


@dataclass(frozen=True)
class Action:
    """Something that may happen once there is what it needs, as often as its weight says."""

    weight: int
    needs: str
    arguments: st.SearchStrategy[dict[str, Any]]


ACTIONS: dict[str, Action] = {}
ALWAYS = ("submit", "claim", "append", "cancel", "overtake", "keep_house", "converse")
"""In every world; of the others each world has a few, so that these meet each other often."""


def action(weight: int, needs: str = "", **arguments: st.SearchStrategy[Any]) -> Callable[[Act], Act]:
    """The method is an action.

    Not a rule of hypothesis, which would leave half of all rules out of a world, also those that the others need.
    """

    def register(act: Act) -> Act:
        ACTIONS[act.__name__] = Action(weight, needs, st.fixed_dictionaries(arguments))
        return act

    return register


def theme(seed: int) -> set[str]:
    """Some of the actions that are not in every world, each as often as any other."""
    chance = random.Random(seed)
    return set(chance.sample(sorted(ACTIONS.keys() - set(ALWAYS)), chance.randint(3, 8)))


themes = st.integers(0, 2**64 - 1).map(theme)
"""hypothesis's own sets are drawn unevenly: some actions would be in no world of a whole run."""


@dataclass
class Run:
    """An execution, as its worker knows it. It goes on when it is fenced: nobody has told it yet."""

    id: str
    job: str
    model: str
    worker: str
    stored: int


@dataclass
class Caller:
    """A client that waits, as its gateway knows it."""

    job: str
    visitor: str
    reply: str
    attempt: Attempt
    accepted: Accepted


class Cast:
    """All who act in one world."""

    pair: ClassVar[Pair]

    def __init__(self) -> None:
        super().__init__()
        self.pair.reset()
        self.world = self.pair.world
        self.runs: list[Run] = []
        self.callers: list[Caller] = []
        self.ids: list[str] = []
        self.theme: set[str] = set()
        self.restart_at: int | None = None
        """After so many actions Valkey is restarted."""
        self.taken = 0
        self._names = count()

    @property
    def endings(self) -> list[tuple[str, ...]]:
        return self.world.endings()

    @property
    def entries(self) -> bool:
        """There is something to claim."""
        waiting = any(schedule.waiting for schedule in self.world.schedules.values())
        return waiting or any(self.world.queues.values()) or any(self.world.between.values())

    @property
    def owners(self) -> list[Run]:
        """Executions that have their jobs."""
        running = {job.id: job.exec for job in self.world.jobs.values() if job.running}
        return [run for run in self.runs if running.get(run.job) == run.id]

    @property
    def late(self) -> list[object]:
        return list(self.pair.late)

    def do(self, command: str, *args: Any, **options: Any) -> Any:
        return self.pair.do(command, *args, **options)

    def choices(self) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
        """What may happen next."""
        able = [
            name
            for name, action in ACTIONS.items()
            if (name in ALWAYS or name in self.theme) and (not action.needs or getattr(self, action.needs))
            for _ in range(action.weight)
        ]
        return st.sampled_from(able).flatmap(lambda name: st.tuples(st.just(name), ACTIONS[name].arguments))

    def execution(self, which: int) -> Run:
        """More often than not one that has its job; else any, often one whose job has gone to another."""
        running = {job.id: job.exec for job in self.world.jobs.values() if job.running}
        rivals = [run for run in self.runs if running.get(run.job, run.id) != run.id]
        return newest((self.runs, self.owners, self.owners, rivals)[which % 4] or self.runs, which // 4)

    def new(self, kind: str) -> str:
        return f"{kind}{next(self._names)}"


def newest(of: list[T], which: int) -> T:
    """Small numbers are the newest ones."""
    return of[-1 - which % len(of)]
