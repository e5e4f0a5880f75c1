"""What an attack is, and where all of them stand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from tests.attack.attacker import Attacker

Body = Callable[[Attacker], Awaitable[None]]

LATEST = 2.0
"""Seconds within which a first token of somebody else comes."""


class Scene(StrEnum):
    """Where an attack takes place. Each has Valkey, bounded as that of `inferq up`, and one gateway process."""

    ECHO = "echo"
    """An echo engine."""
    SLOW = "slow"
    """An echo engine, and one beside it whose jobs wait."""
    REAL = "real"
    """SmolLM2 in llama.cpp."""
    OPEN = "open"
    """An echo engine, and no keys."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One way to bring the service down."""

    body: Body
    scene: Scene
    least: int
    """How often the server has to have done something about it: else it has hit nothing."""
    stays: bool
    """It leaves jobs behind that run or are kept for minutes: the next attack takes place elsewhere."""
    latest: float = LATEST
    """`LATEST`, unless there is a reason."""
    stores: bool = False
    """The victim stores files too."""

    @property
    def name(self) -> str:
        return self.body.__name__

    @property
    def exploits(self) -> str:
        """In a sentence."""
        return " ".join((self.body.__doc__ or "").split("\n\n")[0].split())


ATTACKS: dict[str, Attack] = {}


def attack(
    least: int, scene: Scene = Scene.ECHO, *, stays: bool = False, latest: float = LATEST, stores: bool = False
) -> Callable[[Body], Body]:
    """Make one of a coroutine, which goes on until it is cancelled."""

    def add(body: Body) -> Body:
        ATTACKS[body.__name__] = Attack(body, scene, least, stays, latest, stores)
        return body

    return add
