"""Agents: what each machine offers to load when it is asked for. The supervisor of `inferq up` is its machine's.

An agent says so every few seconds, in JSON under a key that ends by itself; fields that this version does not know are
passed over. The models are those of its machine, whoever serves them: what is served, workers say themselves.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from shared.card import Card
from shared.keys import Key
from shared.registry import known, read_card, read_each

if TYPE_CHECKING:
    from redis import Redis

AGENT_TTL = 10
"""Seconds for which an agent is believed to live."""
LOAD_TTL = 6
"""Seconds for which the one that loads a model keeps others from it, unless he says so again."""
MOST_STAY = 30 * 24 * 3600
"""Seconds that a request may have a model stay loaded."""
_STAY_LASTS = 24 * 3600
"""Seconds for which it is known at least what it has said of that, unless the model leaves before."""
_GROUP_LASTS = 60


class ModelState(StrEnum):
    """How far a model is on a machine."""

    READY = "ready"
    LOADING = "loading"
    AVAILABLE = "available"
    """Not loaded; it will be when it is asked for."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ModelOnDemand:
    """A model that a machine offers."""

    outline: Card
    state: ModelState
    needs: int
    """Bytes of memory that it takes, as far as is known before."""
    reason: str = ""
    """Why it has failed, in words for everybody; empty else."""
    lasting: bool = False
    """It has, and is not tried again before its file is another one."""


@dataclass(frozen=True, slots=True)
class Agent:
    """A machine's own, that starts and ends its workers as they are asked for."""

    name: str
    host: str
    pid: int
    budget: int
    """Bytes of memory that the models of this machine may have."""
    free: int
    """Of these those that no worker has."""
    models: tuple[ModelOnDemand, ...] = ()
    version: str = ""


def announce(client: Redis, agent: Agent) -> None:
    """Renew what an agent says."""
    with client.pipeline(transaction=False) as pipe:
        pipe.set(f"{Key.AGENT}{agent.name}", json.dumps(asdict(agent)), ex=AGENT_TTL)
        pipe.sadd(Key.AGENTS, agent.name)
        pipe.expire(Key.AGENTS, _GROUP_LASTS)
        pipe.execute()


def renew(client: Redis, name: str) -> None:
    """An agent lives, though it has come to say nothing new: what it has said last still holds."""
    with client.pipeline(transaction=False) as pipe:
        pipe.expire(f"{Key.AGENT}{name}", AGENT_TTL)
        pipe.expire(Key.AGENTS, _GROUP_LASTS)
        pipe.execute()


def withdraw(client: Redis, name: str) -> None:
    """An agent ends."""
    client.delete(f"{Key.AGENT}{name}")


def agents(client: Redis) -> list[Agent]:
    """The live ones, in the order of their names."""
    names: Any = client.smembers(Key.AGENTS)
    if not names:
        return []
    told: Any = client.mget([f"{Key.AGENT}{name.decode()}" for name in sorted(names)])
    if gone := [name for name, blob in zip(sorted(names), told, strict=True) if blob is None]:
        client.srem(Key.AGENTS, *gone)
    return read_each([(name, blob) for name, blob in zip(sorted(names), told, strict=True) if blob], _agent)


def take_load(client: Redis, model: str, name: str) -> bool:
    """Whether the agent of that name may load a model now: nobody else is about to. It holds for some seconds."""
    key = f"{Key.LOAD}{model}"
    if client.set(key, name, px=LOAD_TTL * 1000, nx=True):
        return True
    holder: Any = client.get(key)
    if holder is None or holder.decode() != name:
        return False
    return bool(client.pexpire(key, LOAD_TTL * 1000))


def ask_to_stay(client: Redis, model: str, seconds: float) -> None:
    """Have a model stay loaded for so long though nobody asks for it, once nobody does; others may need its room."""
    stay = min(seconds, MOST_STAY)
    client.set(f"{Key.STAY}{model}", stay, ex=max(_STAY_LASTS, int(stay)))


def forget_stay(client: Redis, model: str) -> None:
    """A model leaves: whoever has it loaded again may say anew how long it stays."""
    client.delete(f"{Key.STAY}{model}")


def stays(client: Redis, models: Sequence[str]) -> dict[str, float]:
    """What was asked so of these."""
    if not models:
        return {}
    told: Any = client.mget([f"{Key.STAY}{model}" for model in models])
    return {model: float(seconds) for model, seconds in zip(models, told, strict=True) if seconds is not None}


def wake(client: Redis, worker: str) -> None:
    """Have a worker that waits for jobs look whether it was asked for something else."""
    with client.pipeline(transaction=False) as pipe:
        pipe.rpush(f"{Key.PERMITS}{worker}", "")
        pipe.expire(f"{Key.PERMITS}{worker}", _GROUP_LASTS)
        pipe.execute()


def _agent(fields: dict[str, Any]) -> Agent:
    models: Sequence[dict[str, Any]] = fields.get("models", ())
    return Agent(**{**known(Agent, fields), "models": tuple(map(_model, models))})


def _model(fields: dict[str, Any]) -> ModelOnDemand:
    state = fields["state"] if fields["state"] in list(ModelState) else ModelState.AVAILABLE
    return ModelOnDemand(
        **{**known(ModelOnDemand, fields), "state": ModelState(state), "outline": read_card(fields["outline"])}
    )
