"""The worker's process: load the model, then run its jobs until told to stop."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from redis import Redis

from shared import folders, registry, tracing
from shared.backoff import Backoff
from shared.catalogue import Model
from shared.config import Config, ConfigError
from shared.disturbance import Disturbance
from shared.errors import ModelFileError, ModelLoadError
from shared.pid_space import pid_space
from shared.progress import FETCHING, PERIOD, Step, listen
from shared.store import Outage, connect, refuse_cluster
from shared.version import VERSION
from worker import engines
from worker.engines import Engine
from worker.engines.outline import outline
from worker.presence import Presence
from worker.run import patiently
from worker.slot_worker import SlotWorker

log = logging.getLogger(__name__)

_FIRST, _LONGEST = 1.0, 30.0
"""Seconds before a model that did not load is tried again."""
_TELLING = 1.0
"""Seconds after which it is told how far that is, and again."""
_LOADING = "it loads the model"


def main(model: Model, locate: Callable[[], Model], config: Config, *, only_fetch: bool = False) -> int:
    """Serve a model, whose file `locate` finds, until SIGTERM or SIGINT, or until its file has become another one;
    returns the exit status. With `only_fetch` nothing is loaded: that the file was found is all.

    A model that does not load is tried again, with growing pauses: the file may be repaired or the memory be free
    later. Meanwhile the worker is known as one that is not ready, with the reason, and its model by an outline, so that
    requests for it wait in the queue.

    Raises what is `permanent`: ModelNotFound and WrongFile for a model that there cannot be, EngineMisfit for an engine
    that cannot serve it, ConfigError for a lease that is not that of the others on this Redis, and for a Redis Cluster.
    """
    for number in (signal.SIGTERM, signal.SIGINT):  # until RQ takes them over
        signal.signal(number, lambda *_: sys.exit(0))
    if not config.prefixes:  # a folder for each queue, whose keys are others
        place = hashlib.sha256(config.redis_url.encode()).hexdigest()[:16]
        with suppress(ConfigError):  # without a home nothing is kept
            config = replace(config, prefixes=str(folders.cache() / "prefixes" / place))
    name, since = f"{model.id}-{secrets.token_hex(4)}", int(time.time())
    me = registry.Worker(name, model.id, socket.gethostname(), os.getpid(), since, reason=_LOADING, version=VERSION)
    me = replace(me, outline=outline(model, config), threads=config.threads, space=pid_space())
    client, lease_ms = connect(config.redis_url, retries=1), int(config.lease * 1000)
    with suppress(*Outage):  # before the model is loaded, which may take minutes
        _check(client, lease_ms)
    with Presence(client, me, lease_ms) as presence:
        loaded = _load(locate, config, presence.tell, only_fetch=only_fetch)
    if loaded is None:
        with suppress(*Outage):
            registry.withdraw(client, name)
        return 0
    try:
        tracing.begin("worker")
        patiently(lambda: _check(client, lease_ms))
        # Leases must be renewed well within their time or not at all: a command that hangs must not hold back the next.
        lease_client = connect(config.redis_url, timeout=1.0, retries=0)
        card = loaded.card
        log.info("serving %s (%s, context %d, %d slots)", card.id, card.engine, card.context, card.slots)
        told: dict[str, Any] = dict(loaded.pace)
        me = replace(me, card=card, outline=None, reason="", **told)
        worker = SlotWorker(loaded, client, lease_client, me, config)
        worker.work(logging_level="WARNING")  # what RQ says at "info" we say ourselves
        return int(loaded.stale)  # whoever has started it starts it again
    finally:
        loaded.close()
        tracing.end()


def _check(client: Redis, lease_ms: int) -> None:
    refuse_cluster(client)
    registry.check_lease(client, lease_ms)


def _load(locate: Callable[[], Model], config: Config, tell: Callable[..., None], *, only_fetch: bool) -> Engine | None:
    backoff, disturbance = Backoff(_FIRST, _LONGEST), Disturbance(log, "the model")

    logged = time.monotonic()

    def told(step: Step) -> None:
        nonlocal logged
        if time.monotonic() - logged >= PERIOD:
            logged = time.monotonic()
            log.info("not ready yet: %s", step)
        fetched, size = (step.reached(), step.total or 0) if step.what == FETCHING else (0, 0)
        tell(reason=f"{_LOADING}: {step}", detail="", fetched=min(fetched, size), to_fetch=size)

    while True:
        try:
            with listen(told, _TELLING):
                model = locate()
                tell(outline=outline(model, config), fetched=0, to_fetch=0)
                return None if only_fetch else engines.load(model, engines.fit(model, config))
        except (ModelFileError, ModelLoadError) as exc:
            tell(reason=exc.public, detail=str(exc), failing=True, fetched=0, to_fetch=0)
            if exc.permanent:
                raise
            words = f"it cannot be loaded, and is tried again in {backoff.fail():g} s: {exc}"
            disturbance.fail(words, level=logging.ERROR)
        time.sleep(backoff.pause)
