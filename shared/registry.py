"""Who lives, gateways, workers and models that are served: cards that are believed as long as somebody renews them.

A worker's and a gateway's lapse soon after it. A model's outlives its workers by minutes, so that a request for one
whose only worker is just restarting waits in the queue instead of being refused. Cards are JSON; another version may
have written them: fields that this one does not know are passed over, and so is a card that it cannot read.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from shared.card import Card
from shared.config import PREFIX, ConfigError
from shared.keys import Key

if TYPE_CHECKING:  # engine hosts import this module, for Card; Redis would cost each of their starts 0.1 s
    from redis import Redis

log = logging.getLogger(__name__)

GATEWAY_TTL = 60
WORKER_TTL = 15
MODEL_TTL = 300
WIRE = 3
"""What a process understands: places in the queue, and tasks beside the streams, since 2; that a task lies there until
its job ends, and what jobs hold is counted, since 3. See scripts/lapse.lua."""
HEARTBEAT = 5.0
"""Seconds after which a process announces itself again."""


class Kind(StrEnum):
    """What there are cards of."""

    GATEWAYS = "gateways"
    WORKERS = "workers"
    MODELS = "models"


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
    outline: Card | None = None
    """Of the model that it is to serve, while it is not ready; None in 0.2.0."""
    failing: bool = False
    """It is not ready, and its last try to be has failed; in 0.2.0 that is not told."""
    reason: str = ""
    """Why it is not ready, in words for everybody."""
    loop_errors: Mapping[str, int] = field(default_factory=dict)
    """How often each of its loops has failed."""
    version: str = ""
    """Of inferq."""
    wire: int = WIRE
    detail: str = ""
    """The reason for those who look after it: with paths, and the end of a log."""
    threads: int = 0
    """With which its engine computes; 0 where that is not told, as by 0.2.0. So are the next ones."""
    batch_threads: int = 0
    """The same for prompts and several answers at once; `threads` are for one alone then."""
    batch_size: int = 0
    """Tokens of a prompt that it reads at once."""
    memory_bytes: int = 0
    """In use by it and its engine's hosts, what they share counted for each."""
    load: float | None = None
    """Cores that these have used on average since its last card."""
    space: str = ""
    """In which its pid means it, see pid_space.py; empty in versions before."""
    fetched: int = 0
    """Bytes of its model that have arrived, while it is fetched."""
    to_fetch: int = 0
    """Of so many; 0 where nothing is fetched, or nobody knows."""

    @property
    def trouble(self) -> str:
        """Why it is not ready, as exactly as it is known; empty when it is. Not for clients."""
        return self.detail or self.reason


@dataclass(frozen=True, slots=True)
class GatewayProcess:
    """A live process of a gateway."""

    name: str
    """Its reply stream."""
    host: str
    pid: int
    since: int
    """Unix time of its start, in seconds."""
    reason: str = ""
    """What keeps it from working well; empty when nothing does."""
    version: str = ""
    """Of inferq."""
    wire: int = WIRE


def announce(client: Redis, worker: Worker, lease_ms: int | None = None) -> None:
    """Renew the card of a worker and, once it is ready, that of its model.

    Raises ConfigError, and announces nothing, where the others on this Redis have another lease.
    """
    _announce(client, Kind.WORKERS, worker.name, WORKER_TTL, worker, lease_ms)
    if worker.card:
        _announce(client, Kind.MODELS, worker.card.id, MODEL_TTL, worker.card)


def announce_gateway(client: Redis, gateway: GatewayProcess, lease_ms: int) -> None:
    """Renew the card of a process of a gateway. Raises ConfigError like `announce`."""
    _announce(client, Kind.GATEWAYS, gateway.name, GATEWAY_TTL, gateway, lease_ms)


def check_lease(client: Redis, lease_ms: int) -> None:
    """Raises ConfigError where those who live on this Redis have another lease."""
    agreed: Any = client.get(Key.LEASE)
    if agreed and int(agreed) != lease_ms and (workers(client) or gateways(client)):
        raise _unequal(lease_ms, int(agreed))


def leave_gateway(client: Redis, name: str) -> None:
    """A process of a gateway ends. The next `lapse` sees to the jobs of its clients."""
    _script(client, "withdraw")(keys=[], args=[Kind.GATEWAYS, name])


def withdraw(client: Redis, name: str) -> None:
    """Remove the worker's card; its model's card stays for its own time."""
    _script(client, "withdraw")(keys=[], args=[Kind.WORKERS, name])


def forget_all(client: Redis) -> None:
    """Remove every card, also of other versions. For an owner of the whole Redis that starts afresh."""
    client.delete(Key.ARCHIVE_USED, "iq:workers", "iq:models")  # these two: lists of versions before 0.1.0
    for group in list(client.scan_iter(f"{Key.LIVE}*", count=1000)):
        kind = group.decode().removeprefix(Key.LIVE)
        names: Any = client.zrange(group, 0, -1)
        for name in names:
            if kind == Kind.GATEWAYS:
                leave_gateway(client, name)
            else:
                _script(client, "withdraw")(keys=[], args=[kind, name])


def models(client: Redis) -> dict[str, Card]:
    """The served models by id, in alphabetical order."""
    return {card.id: card for card in sorted(_live(client, Kind.MODELS, read_card), key=lambda card: card.id)}


def workers(client: Redis) -> list[Worker]:
    """The live workers, ready or not, in the order of their models and names."""
    return sorted(_live(client, Kind.WORKERS, _worker), key=lambda worker: (worker.model, worker.name))


def gateways(client: Redis) -> list[GatewayProcess]:
    """The live processes of gateways, in the order of their hosts and pids."""
    found = _live(client, Kind.GATEWAYS, lambda fields: GatewayProcess(**known(GatewayProcess, fields)))
    return sorted(found, key=lambda process: (process.host, process.pid))


def _script(client: Redis, name: str) -> Any:
    from shared.scripts import script

    return script(client, name)


def _announce(client: Redis, kind: Kind, name: str, ttl: int, card: Any, lease_ms: int | None = None) -> None:
    lease = "" if lease_ms is None else lease_ms
    in_force = int(_script(client, "announce")(keys=[], args=[kind, name, ttl * 1000, json.dumps(asdict(card)), lease]))
    if lease_ms is not None and lease_ms != in_force:
        raise _unequal(lease_ms, in_force)


def _unequal(lease_ms: int, in_force: int) -> ConfigError:
    return ConfigError(
        f"{PREFIX}LEASE is {lease_ms / 1000:g} here, and {in_force / 1000:g} for the others on this Redis:"
        " it has to be the same for all of them"
    )


def _live(client: Redis, kind: Kind, read: Any) -> list[Any]:
    found: list[bytes] = _script(client, "live")(keys=[], args=[kind])
    return read_each(zip(found[::2], found[1::2], strict=True), read)


def read_each(told: Iterable[tuple[bytes, bytes]], read: Any) -> list[Any]:
    """What is understood of what several said, each with its name."""
    cards = []
    for name, blob in told:
        try:
            cards.append(read(json.loads(blob)))
        except (ValueError, TypeError, KeyError, AttributeError) as exc:
            log.debug("the card of %s is passed over: %s", name.decode(errors="replace"), exc)
    return cards


def known(kind: type, fields: dict[str, Any]) -> dict[str, Any]:
    """Those fields that this version has."""
    return {f.name: fields[f.name] for f in dataclasses.fields(kind) if f.name in fields}


def read_card(fields: dict[str, Any]) -> Card:
    """A card as another version may have written it. Raises what a wrong one does."""
    told = known(Card, fields)
    lists = {name: tuple(value) for name, value in told.items() if isinstance(value, list)}
    return Card(**{**told, **lists, "sampling": dict(told.get("sampling", {}))})


def _worker(fields: dict[str, Any]) -> Worker:
    cards = {name: read_card(fields[name]) for name in ("card", "outline") if fields.get(name)}
    return Worker(**{**known(Worker, fields), "card": None, "outline": None, **cards})
