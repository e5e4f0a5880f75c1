"""The worker's process: load the model, then run its jobs until told to stop."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from shared.config import Config
from shared.errors import ModelLoadError
from shared.store import Outage, connect
from worker import engines
from worker.engines import Engine
from worker.slot_worker import SlotWorker

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


def main(model: str, path: Path | None, engine: str, config: Config) -> int:
    """Serve `model` until SIGTERM or SIGINT; returns the exit status.

    A model that does not load is tried again, with growing pauses: the file may be repaired or the memory be free
    later.

    Raises ModelFileError for a file that is no good, EngineError for an engine that is none.
    """
    loaded = _load(engine, model, path, config)
    try:
        client = connect(config.redis_url, retries=1)
        while True:
            try:
                client.ping()
                break
            except Outage as exc:
                log.warning("waiting for redis: %s", exc)
                time.sleep(1)
        # Leases must be renewed well within their time or not at all: a command that hangs must not hold back the next.
        lease_client = connect(config.redis_url, timeout=1.0, retries=0)
        card = loaded.card
        log.info("serving %s (%s, context %d, %d slots)", card.id, card.engine, card.context, card.slots)
        worker = SlotWorker(loaded, client, lease_client, lease=config.lease, grace=config.grace)
        worker.work(logging_level="WARNING")  # what RQ says at "info" we say ourselves
    finally:
        loaded.close()
    return 0


def _load(engine: str, model: str, path: Path | None, config: Config) -> Engine:
    pause = FIRST_PAUSE
    while True:
        try:
            return engines.load(engine, model, path, config)
        except ModelLoadError as exc:
            log.error("%s cannot be loaded, next try in %g s: %s", model, pause, exc)
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
