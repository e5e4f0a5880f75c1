"""The workers that an agent has started: for which it waits, and for how long. Here they are processes that end by
nothing but being killed, and say what a test has them say."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferq.agent import household
from inferq.agent.household import Household
from inferq.agent.obstacles import Obstacles
from inferq.agent.stock import Stock
from shared import agents
from shared.agents import Agent, ModelOnDemand, ModelState
from shared.card import Card
from shared.config import Config
from shared.pid_space import pid_space
from shared.protocol import State
from shared.registry import Worker
from shared.tickets import Tickets
from tests.stack import wait_for
from tests.transitions import END, append, start

CARD = Card("m", "echo", "echo", context=1, slots=1, created=1)
DEAF = """
import signal, time
for number in (signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, signal.SIG_IGN)
print(flush=True)
time.sleep(600)
"""


def spawn(_model: str, _room: int | None) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-ISc", DEAF], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    return process


class House:
    """A machine that offers the model `m`."""

    def __init__(self, tickets: Tickets, folder: Path) -> None:
        (folder / "models.toml").write_text('[[model]]\nid = "m"\nengine = "echo"\n')
        self.client, config = tickets.client, Config(models=str(folder), grace=0)
        stock = Stock(config, lambda model: model)
        stock.look()
        self.article, self.obstacles = stock.articles["m"], Obstacles(self.client, "here")
        self.hold = Household("here", self.client, stock, self.obstacles, spawn, config)

    def begin(self, room: int | None = 1 << 30) -> Worker:
        """One worker more, and what it says of itself: that it is called w, and loads or fetches its model."""
        self.hold.start(self.article, room)
        return Worker("w", "m", "host", self.hold.tenants[-1].pid, 1, space=pid_space())

    def ready(self) -> Worker:
        worker = self.begin()
        card = Worker(worker.name, "m", "host", worker.pid, 1, card=CARD, space=worker.space)
        self.hold.tend([card])
        return card

    def ask_to_leave(self) -> None:
        self.hold.ask_to_leave(self.hold.tenants[-1], "it is a test")
        self.hold.forget_stays()

    def tend(self, *cards: Worker) -> bool:
        """Whether there is nobody left."""
        self.hold.tend(cards)
        return not self.hold.tenants

    def is_empty_soon(self) -> None:
        wait_for(self.tend, "the end")

    def stays(self) -> bool:
        return bool(agents.stays(self.client, ["m"]))


@pytest.fixture
def house(tickets: Tickets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """It loses patience soon."""
    for name, seconds in (("LEAVE", 0.5), ("_SILENT", 0.5), ("_ATTENTIVE", 0.2)):
        monkeypatch.setattr(household, name, seconds)
    made = House(tickets, tmp_path)
    yield made
    made.hold.kill()
    made.hold.stop(10)


def test_who_is_asked_to_leave_before_it_is_ready_and_does_not_is_killed(house: House) -> None:
    house.begin()
    house.ask_to_leave()
    house.is_empty_soon()
    assert not house.obstacles.of(house.article), "another one may be loaded at once"


def test_who_computes_has_all_the_time_to_leave_and_then_as_little_as_others(house: House, tickets: Tickets) -> None:
    house.ready()
    start(tickets, "job", "x")
    house.ask_to_leave()
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        assert not house.tend(), "it says nothing of itself any more, and computes"
        time.sleep(0.05)
    append(tickets, "job", "x", 1, END, state=State.COMPLETED)
    house.is_empty_soon()


def test_silence_while_nobody_listens_is_none(house: House) -> None:
    house.ready()
    time.sleep(0.8)  # as while Redis is away, where the cards of all lapse
    house.tend()
    assert not house.hold.tenants[0].leaving, "it was given up"
    house.is_empty_soon()


def test_who_fetches_and_falls_silent_is_killed_and_its_model_has_failed(house: House) -> None:
    house.tend(house.begin(None))
    house.is_empty_soon()
    assert "has said nothing" in house.obstacles.of(house.article)


def test_how_long_a_model_stays_is_known_until_the_last_one_leaves(house: House) -> None:
    agents.ask_to_stay(house.client, "m", 3600)
    house.ready()
    house.begin()
    house.ask_to_leave()
    assert house.stays()
    house.hold.ask_to_leave(house.hold.tenants[0], "it is a test")
    house.hold.forget_stays()
    assert not house.stays()


def test_how_long_a_model_stays_is_known_until_the_last_machine_has_it_no_more(house: House) -> None:
    def announce(state: ModelState) -> None:
        there = ModelOnDemand(CARD, state, 0)
        agents.announce(house.client, Agent("there", "host", 1, 0, 0, (there,)))

    agents.ask_to_stay(house.client, "m", 0)
    announce(ModelState.READY)
    house.ready()
    house.ask_to_leave()
    assert house.stays(), "the other one has yet to look"
    announce(ModelState.AVAILABLE)
    house.ready()
    house.ask_to_leave()
    assert not house.stays()
