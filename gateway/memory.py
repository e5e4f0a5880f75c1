"""The memory of Redis: how much there is of it, and what is done before it is full.

Each process looks once a second. First the records of finished jobs make room, the oldest first. Where that is not
enough, new jobs are refused, so that those which wait and run can always go on to their ends. What a key's jobs hold is
counted by submit.lua; here is only how much that may be.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from redis.exceptions import NoPermissionError

from shared.config import Config
from shared.loops import Loops
from shared.tickets import Tickets

log = logging.getLogger(__name__)

PERIOD = 1.0
"""Seconds between two looks."""
MOST_RETAINED = 0.7
"""Of the memory: the part that may be used before the records of finished jobs go. All jobs together may hold it."""
MOST_FILLED = 0.85
"""The same, before no further job is accepted."""
MOST_UNARCHIVED = 0.1
"""The same, that answers may hold which have ended and wait to be stored, before no further one is accepted that is to
be: they make no room."""
MOST_OF_A_KEY = 0.25
"""The same, that the jobs of one API key may hold where neither a setting nor its entry says more."""


class Memory:
    """Redis's memory as one process of a gateway sees it."""

    def __init__(self, tickets: Tickets, loops: Loops, config: Config, name: str) -> None:
        """`name` is what Redis knows this process by."""
        self._tickets = tickets
        self._loops = loops
        self._config = config
        self._name = name
        self._silent = False
        self.limit = config.max_memory
        """Bytes; 0 where nobody knows yet."""
        self.used = 0

    def start(self) -> None:
        self._loops.start("memory", self._look, pause=PERIOD)

    @property
    def share(self) -> int:
        """Bytes that the jobs of a key may hold whose entry says nothing of it; 0: any."""
        return self._config.max_key_bytes or int(self.limit * MOST_OF_A_KEY)

    @property
    def most(self) -> int | None:
        """Bytes that the jobs of all may hold; 0 while none is to be accepted, None for any."""
        if not self.limit:
            return None
        return 0 if self.used > self.limit * MOST_FILLED else int(self.limit * MOST_RETAINED)

    @property
    def most_unarchived(self) -> int | None:
        """Bytes that answers may hold which wait to be stored; None for any."""
        return int(self.limit * MOST_UNARCHIVED) if self.limit else None

    def _look(self) -> None:
        try:
            info: Any = self._tickets.client.info("memory")
        except NoPermissionError as exc:
            if not self._silent:
                log.warning("nobody sees to it that Redis's memory is not full: %s", exc)
            self._silent = True
            return
        self.used = info["used_memory"] - info.get("mem_not_counted_for_evict", 0)
        self.limit = limit_of(info, self._config.max_memory)
        self._make_room(self.used - int(self.limit * MOST_RETAINED))

    def _make_room(self, wanted: int) -> None:
        count = 0
        while wanted > 0:
            gone, freed = self._tickets.evict(self._name, wanted)
            if not gone:
                break
            count, wanted = count + gone, wanted - freed
        if count:
            log.info("memory is short: the records of %d finished jobs went before their time", count)


def limit_of(info: Mapping[str, Any], max_memory: int) -> int:
    """Bytes that a Redis may take, by its `INFO memory` and the setting (0: none); 0 where nobody knows."""
    bounds = [bound for bound in (info.get("maxmemory"), max_memory) if bound]
    return int(min(bounds, default=info.get("total_system_memory", 0) // 2))
