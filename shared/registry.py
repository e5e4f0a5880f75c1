"""Which models are served, and by whom: cards that live only as long as somebody renews them.

`iq:worker:<name>` is one worker's card and lapses soon after the worker; `iq:model:<id>` outlives it by minutes, so
that a request for a model whose only worker is just restarting waits in the queue instead of being refused.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # engine hosts import this module, for Card; Redis would cost each of their starts 0.1 s
    from redis import Redis

WORKER_TTL = 15
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
    """Out of `completion`, `chat`: what the gateway may promise."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A live worker."""

    name: str
    card: Card


def announce(client: Redis, name: str, card: Card) -> None:
    """Renew the cards of worker `name` and of its model."""
    blob = json.dumps(asdict(card))
    with client.pipeline(transaction=False) as pipe:
        pipe.set(f"iq:worker:{name}", blob, ex=WORKER_TTL)
        pipe.sadd(_WORKERS, name)
        pipe.set(f"iq:model:{card.id}", blob, ex=MODEL_TTL)
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
    return dict(sorted((card.id, card) for _, card in _read(client, _MODELS, "iq:model:")))


def workers(client: Redis) -> list[Worker]:
    """The live workers, in the order of their names."""
    return sorted((Worker(name, card) for name, card in _read(client, _WORKERS, "iq:worker:")), key=lambda w: w.name)


def _read(client: Redis, index: str, prefix: str) -> list[tuple[str, Card]]:
    names = _names(client, index)
    if not names:
        return []
    blobs: list[Any] = client.mget([prefix + name for name in names])
    gone = [name for name, blob in zip(names, blobs, strict=True) if blob is None]
    if gone:
        client.srem(index, *gone)
    return [(name, _card(blob)) for name, blob in zip(names, blobs, strict=True) if blob is not None]


def _names(client: Redis, index: str) -> list[str]:
    members: Any = client.smembers(index)
    return [member.decode() for member in members]


def _card(blob: bytes) -> Card:
    fields = json.loads(blob)
    return Card(**{**fields, "capabilities": tuple(fields["capabilities"])})
