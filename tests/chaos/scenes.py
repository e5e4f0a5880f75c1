"""What runs: echo engines, whose every word is known, or a real model with its engine hosts; and what it suffers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from inferq.agent.stock import Stock
from shared.config import Config
from tests.adapters import write_adapter
from tests.chaos.archive_faults import HIDDEN, UNNAMED
from tests.chaos.demand_faults import DEMAND, EXCUSES
from tests.chaos.house import Crew
from tests.chaos.machines import Offered
from tests.chaos.mischief import EVERYTHING as ALL_AT_ONCE
from tests.chaos.mischief import Mischief
from tests.chaos.prefix_faults import AWAY, CUT, DELETED, FILLED, FULL, SPOILED, SWAPPED, UNREADABLE
from tests.chaos.run import Scene
from tests.likelihoods import write
from tests.tiny import roomy

_SHARED = {"log_level": "error", "retention": 180, "grace": 3}
_TINY = {"slots": 2, "threads": 1, "batch_size": 128}
ECHOES, ADAPTED = ("red", "green", "blue"), ("tiny", "tiny:formal", "tiny:loud")
"""Models of a models.toml."""
WORKERS = ("SIGKILL worker",) * 4 + ("SIGTERM worker", "SIGSTOP worker") * 2
REDIS = (
    *("partition worker", "valkey a second back") * 2,
    *("SIGKILL valkey", "SIGSTOP valkey", "restart valkey at once"),
)
GATEWAY = (
    *("SIGKILL gateway process", "SIGSTOP gateway process", "cut connections") * 2,
    *("SIGKILL gateway arbiter", "SIGTERM gateway", "partition gateway"),
)
ARCHIVE, INDEX = (HIDDEN,) * 2, (UNNAMED,) * 2
HOSTS = (*("SIGKILL engine host", "SIGSTOP engine host") * 2, "SIGKILL scoring host", "SIGSTOP scoring host")
PREFIXES = (CUT, SPOILED, SWAPPED, DELETED, UNREADABLE, FILLED, FULL, AWAY)
EVERYTHING, BEHIND_THE_GATEWAY = WORKERS + REDIS + ARCHIVE + GATEWAY, WORKERS + REDIS + ARCHIVE


def echoes(lease: float, menu: Sequence[str], folder: Path, index: str = "") -> Scene:
    """Three workers that can continue an answer, and one that has to compute it again.

    One of the three tells how far it is in the prompt, so that its events are numbered otherwise. `index`: see the
    setting.
    """
    again = folder / "again.gguf"
    again.write_bytes(b"echo reads no file")
    return Scene(
        crews={
            "echo": Crew(("echo",), 3, last={"echo_prefill_ms": 100}),
            "again": Crew((str(again), "--engine", "echo"), 1, {"echo_continue": 0}),
        },
        course=lambda mischief: mischief.reign(menu),
        clients=40,
        settings={**_SHARED, "lease": lease, "slots": 4, "echo_rate": 50, "archive_index": index},
    )


def smollm2(lease: float) -> Scene:
    """Two workers of one slot each, so that no neighbour changes the order of sums. Engine hosts are hurt too."""
    return Scene(
        crews={"smollm2": Crew(("smollm2",), 2)},
        course=lambda mischief: mischief.reign(EVERYTHING + HOSTS),
        clients=6,
        settings={**_SHARED, "lease": lease, "slots": 1, "threads": 1, "context": 2048},
    )


def readers(lease: float, folder: Path) -> Scene:
    """Two workers of the tiny model in float32, and one of another that differs in a single bit; they share the
    snapshots of what they have read, which are hurt."""
    model, other = roomy(folder, write(folder)), folder / "other.gguf"
    content = bytearray(model.read_bytes())
    content[-1] ^= 1
    other.write_bytes(content)
    return Scene(
        crews={"roomy": Crew((str(model),), 2), "other": Crew((str(other),), 1)},
        course=lambda mischief: mischief.reign(
            PREFIXES * 2 + ("SIGKILL worker", "SIGKILL engine host", ALL_AT_ONCE), 0.3, 1.0, answers=3
        ),
        clients=8,
        settings={**_SHARED, **_TINY, "lease": lease},
    )


def adapted(lease: float, folder: Path, prefix_bytes: int) -> Scene:
    """Two workers of the tiny model in float32, two of an adapter of it, and one of another adapter: whoever goes on
    with an answer has the same one."""
    model = write_adapted(folder)
    names = {"tiny": 2, "tiny:formal": 2, "tiny:loud": 1}
    return Scene(
        crews={name: Crew((name,), count) for name, count in names.items()},
        course=lambda mischief: mischief.reign(
            WORKERS + HOSTS[:1] + ("partition worker", ALL_AT_ONCE), 0.3, 1.0, answers=2
        ),
        clients=12,
        settings={**_SHARED, **_TINY, "lease": lease, "models": model, "prefix_bytes": prefix_bytes},
    )


def on_demand(lease: float, folder: Path) -> Scene:
    """Two machines, each with room for two of six models: echoes, and the tiny one with its adapters."""
    table = write_adapted(folder)
    settings = {**_SHARED, **_TINY, "lease": lease, "echo_rate": 50, "models": table}
    config = Config.from_env({f"INFERQ_{name.upper()}": str(value) for name, value in settings.items()})
    stock = Stock(config, lambda model: model)
    stock.look()
    models = {name: stock.weigh(name).needs for name in (*ECHOES, *ADAPTED)}
    tiny, formal, loud = (folder / f"{name}.gguf" for name in ("roomy", "formal", "loud"))
    return Scene(
        crews={},
        course=lambda mischief: mischief.reign(DEMAND, 0.5, 2.0),
        clients=10,
        settings=settings,
        offered=Offered(
            needs=models,
            files={tiny: ADAPTED, formal: ADAPTED[1:2], loud: ADAPTED[2:]},
            machines=2,
            memory=int(2.2 * max(models.values())),
            settings={"max_loaded": 2, "residence": 1, "turn": 8},
        ),
        excuses=EXCUSES,
    )


def write_adapted(folder: Path) -> Path:
    """A models.toml with echoes, the tiny model in float32, and two adapters of it."""
    model = roomy(folder, write(folder))
    tables = [f'[[model]]\nid = "{name}"\nengine = "echo"\n' for name in ECHOES]
    tables.append(f'[[model]]\nid = "tiny"\nsource = "{model}"\n')
    for seed, name in enumerate(("formal", "loud")):
        write_adapter(folder / f"{name}.gguf", seed)
        tables.append(f'[[model]]\nbase = "tiny"\nadapter = "{name}.gguf"\n')
    (folder / "models.toml").write_text("\n".join(tables))
    return folder / "models.toml"


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
        whole=True,
    )
