"""The tools of `make attack` and `make soak` see what their verdicts rest on."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from tests.attack.attacker import Attacker, Hits
from tests.attack.judgement import Outcome
from tests.attack.plan import Attack, Scene
from tests.attack.run import play
from tests.attack.victim import Chat
from tests.attack.watch import Seen
from tests.pace import slowness
from tests.soak.slope import drift


async def some_models(me: Attacker) -> None:
    """A harmless crowd, which takes its time."""
    await me.crowd(10, lambda number: me.ask(me.head("GET", "/v1/models"), number), pause=0.4)


async def nothing(me: Attacker) -> None:
    """Nobody comes."""
    await asyncio.sleep(60)


def test_an_attack_that_hits_nothing_proves_nothing() -> None:
    """And one that hits, however long it takes for that, harms nobody here, of whom somebody has asked meanwhile."""
    harmless, void = play([Attack(some_models, Scene.ECHO, 20, False), Attack(nothing, Scene.ECHO, 1, False)], 0.3)
    assert list(harmless.faults()) == []
    assert harmless.hits.answers[200] == harmless.hits.count >= 20
    assert harmless.during
    assert harmless.seen.redis > 1_000_000
    assert harmless.seen.worst > harmless.seen.idle - 1_000_000 > 0
    [fault] = void.faults()
    assert "void" in fault


STOOD = Outcome(
    Attack(nothing, Scene.ECHO, 5, False),
    Hits(answers=Counter({200: 9})),
    before=[Chat(0, 0.01)] * 3,
    during=[Chat(1, 1.9)],
    after=[Chat(2, 0.01)],
    seen=Seen(idle=80_000_000, worst=370_000_000, now=90_000_000),
    back=1,
    kept=10_000_000,
    leaked=[],
)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"hits": Hits(answers=Counter({200: 4}))}, "void"),
        ({"hits": Hits(answers=Counter({200: 9}), holes=["a hole"])}, "a hole"),
        ({"during": []}, "no victim"),
        ({"during": [Chat(1, 2.1)]}, "late"),
        ({"after": [Chat(1, 2.1)]}, "late"),
        ({"after": [Chat(1, 0.1, "RateLimitError")]}, "RateLimitError"),
        ({"seen": Seen(idle=80_000_000, worst=390_000_000)}, "310 MB"),
        ({"seen": Seen(ended=["gateway 7"])}, "gateway 7"),
        ({"seen": Seen(lapsed=1)}, "taken for dead"),
        ({"kept": 110_000_000}, "keeps"),
        ({"leaked": ["mallory"]}, "the key of mallory"),
    ],
)
def test_what_an_attack_does_is_judged(change: dict[str, object], fault: str) -> None:
    assert list(STOOD.faults()) == []
    [found] = replace(STOOD, **change).faults()  # type: ignore[arg-type]  # its fields
    assert fault in found


def test_a_slow_machine_has_more_time() -> None:
    assert list(replace(STOOD, before=[Chat(0, 0.1)], during=[Chat(1, 4.9)]).faults()) == []
    assert list(replace(STOOD, slow=1.5, during=[Chat(1, 2.9)]).faults()) == []
    assert slowness() >= 1


def rises(values: list[float]) -> bool:
    found = drift(values)
    return found.rise > found.noise


def test_a_leak_is_told_from_noise() -> None:
    draw = Random(1)
    noise = [draw.gauss(0, 1) for _ in range(600)]
    assert not rises(noise)
    assert not rises([value + 1000 * (number % 40 == 0) for number, value in enumerate(noise)])  # now and then a peak
    assert not rises([value + 100 * min(number, 200) for number, value in enumerate(noise)])  # it fills up
    assert not rises([value - number for number, value in enumerate(noise)])
    assert rises([value + 0.05 * number for number, value in enumerate(noise)])
    assert drift([float(number) for number in range(100)]).rise == 49
