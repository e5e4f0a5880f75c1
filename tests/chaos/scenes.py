"""The two runs: echo engines, whose every word is known, and a real model with its engine hosts."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.house import Crew
from tests.chaos.mischief import Mischief
from tests.chaos.run import Scene

_SHARED = {"log_level": "error", "retention": 20, "grace": 3}
MENU = (
    *("SIGKILL worker",) * 4,
    *("SIGTERM worker", "SIGSTOP worker", "partition worker", "cut connections") * 2,
    *("SIGKILL gateway process", "SIGSTOP gateway process", "valkey a second back") * 2,
    *("SIGKILL gateway arbiter", "SIGTERM gateway", "partition gateway"),
    *("SIGKILL valkey", "SIGSTOP valkey", "restart valkey at once"),
)
HOSTS = ("SIGKILL engine host", "SIGSTOP engine host")


def echoes(lease: float, folder: Path) -> Scene:
    """Three workers that can continue an answer, and one that has to compute it again."""
    again = folder / "again.gguf"
    again.write_bytes(b"echo reads no file")
    return Scene(
        crews={
            "echo": Crew(("echo",), 3),
            "again": Crew((str(again), "--engine", "echo"), 1, {"echo_continue": 0}),
        },
        course=lambda mischief: mischief.reign(MENU),
        clients=40,
        settings={**_SHARED, "lease": lease, "slots": 4, "echo_rate": 50},
    )


def smollm2(lease: float) -> Scene:
    """Two workers of one slot each, so that no neighbour changes the order of sums. Engine hosts are hurt too."""
    return Scene(
        crews={"smollm2": Crew(("smollm2",), 2)},
        course=lambda mischief: mischief.reign((*MENU, *HOSTS * 2)),
        clients=6,
        settings={**_SHARED, "lease": lease, "slots": 1, "threads": 1, "context": 2048},
    )


async def calm(mischief: Mischief) -> None:
    """A course on which nothing happens."""


async def deploy(mischief: Mischief) -> None:
    """Every worker and the gateway are restarted, one after the other."""
    await mischief.roll()


def rolling(lease: float) -> Scene:
    """Two workers and the gateway under load, all to be restarted."""
    return Scene(
        crews={"echo": Crew(("echo",), 2)},
        course=deploy,
        clients=12,
        settings={**_SHARED, "lease": lease, "slots": 4, "echo_rate": 50},
    )
