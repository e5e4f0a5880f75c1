"""Which models are served, and by whom: cards that live only as long as somebody renews them.

`iq:worker:<name>` is one worker's and lapses soon after it; `iq:model:<id>` is the card of a model that a worker holds.
It outlives its workers by minutes, so that a request for a model whose only worker is just restarting waits in the
queue instead of being refused.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # engine hosts import this module, for Card; Redis would cost each of their starts 0.1 s
    from redis import Redis

WORKER_TTL = 15
HEARTBEAT = 5.0
"""Seconds after which a worker announces itself again."""
MODEL_TTL = 300
_WORKERS, _MODELS = "iq:workers", "iq:models"


@dataclass(frozen=True, slots=True)
class Card:
    """What an engine tells about the model it holds."""

    id: str
    engine: str
    architecture: str
    context: int
    """Tokens of prompt and answer together that one slot can hold."""
    slots: int
    created: int
    """Unix time of the model file, in seconds; of the start where there is no file."""
    capabilities: tuple[str, ...] = ()
    """Out of `completion`, `chat`: what the gateway may promise; `continue`: it can go on after a part of an answer."""
    aliases: tuple[str, ...] = ()
    """Further names by which requests may ask for it."""
    digest: str = ""
    """Eight hex digits over the model's files and vocabulary: the same token ids mean the same only where it is."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A live worker."""

    name: str
    model: str
    host: str
    pid: int
    since: int
    """Unix time of its start, in seconds."""
    card: Card | None = None
    """None until it has loaded the model: it is not ready."""
    reason: str = ""
    """Why it is not ready."""


def announce(client: Redis, worker: Worker) -> None:
    """Renew the card of a worker and, once it is ready, that of its model."""
    with client.pipeline(transaction=False) as pipe:
        pipe.set(f"iq:worker:{worker.name}", json.dumps(asdict(worker)), ex=WORKER_TTL)
        pipe.sadd(_WORKERS, worker.name)
        if card := worker.card:
            pipe.set(f"iq:model:{card.id}", json.dumps(asdict(card)), ex=MODEL_TTL)
            pipe.sadd(_MODELS, card.id)
        pipe.execute()


def withdraw(client: Redis, name: str) -> None:
    """Remove the worker's card; its model's card stays for its own time."""
    with client.pipeline(transaction=False) as pipe:
        pipe.delete(f"iq:worker:{name}")
        pipe.srem(_WORKERS, name)
        pipe.execute()


def forget_all(client: Redis) -> None:
    """Remove every card. For an owner of the whole Redis that starts afresh."""
    with client.pipeline(transaction=False) as pipe:
        for index, prefix in ((_WORKERS, "iq:worker:"), (_MODELS, "iq:model:")):
            pipe.delete(index, *(prefix + name for name in _names(client, index)))
        pipe.execute()


def models(client: Redis) -> dict[str, Card]:
    """The served models by id, in alphabetical order."""
    return dict(sorted((name, _card(fields)) for name, fields in _read(client, _MODELS, "iq:model:")))


def workers(client: Redis) -> list[Worker]:
    """The live workers, ready or not, in the order of their models and names."""
    found = [_worker(fields) for _, fields in _read(client, _WORKERS, "iq:worker:")]
    return sorted(found, key=lambda worker: (worker.model, worker.name))


def _read(client: Redis, index: str, prefix: str) -> list[tuple[str, dict[str, Any]]]:
    names = _names(client, index)
    if not names:
        return []
    blobs: list[Any] = client.mget([prefix + name for name in names])
    gone = [name for name, blob in zip(names, blobs, strict=True) if blob is None]
    if gone:
        client.srem(index, *gone)
    return [(name, json.loads(blob)) for name, blob in zip(names, blobs, strict=True) if blob is not None]


def _names(client: Redis, index: str) -> list[str]:
    members: Any = client.smembers(index)
    return [member.decode() for member in members]


def _card(fields: dict[str, Any]) -> Card:
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Card(**{**fields, **lists})


def _worker(fields: dict[str, Any]) -> Worker:
    card = fields["card"]
    return Worker(**{**fields, "card": _card(card) if card else None})
