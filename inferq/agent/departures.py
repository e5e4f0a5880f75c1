"""Models that this machine offers no longer, for whose sake requests may still wait."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from shared.whole_file import write_whole

log = logging.getLogger("inferq.agent")

_GRACE = 10.0
"""Seconds within which a file may come again, as when it is replaced."""
_WATCHED = 600.0
"""Seconds for which requests may still come: gateways know a model some minutes longer than it is offered."""


class Departures:
    """Of one machine. What was offered is kept in a file, so that one is missed that goes while nobody looks."""

    def __init__(self, file: Path, place: str) -> None:
        """`place` is where the models come from: of another one nothing is missed."""
        self._file, self._place = file, place
        self._offered = self._read()
        self._gone: dict[str, float] = {}
        """When these went (monotonic)."""

    def look(self, offered: Iterable[str]) -> None:
        """Take in what is offered now."""
        now, here = time.monotonic(), frozenset(offered)
        self._gone |= dict.fromkeys(self._offered - here, now)
        self._gone = {model: at for model, at in self._gone.items() if model not in here and now - at < _WATCHED}
        if here != self._offered:
            self._offered = here
            self._write()

    def gone(self) -> list[str]:
        """Those that have not come again within the grace."""
        now = time.monotonic()
        return [model for model, at in self._gone.items() if now - at > _GRACE]

    def _read(self) -> frozenset[str]:
        with suppress(OSError, ValueError, AttributeError, KeyError, TypeError):  # none yet, or not one of ours
            told = json.loads(self._file.read_text())
            if told.get("place") == self._place:
                return frozenset(map(str, told["models"]))
        return frozenset()

    def _write(self) -> None:
        try:
            with write_whole(self._file) as path:
                path.write_text(json.dumps({"place": self._place, "models": sorted(self._offered)}))
        except OSError as exc:  # such as a full disk: what goes while nobody looks is then not missed
            log.warning("what is offered cannot be kept in %s: %s", self._file, exc.strerror)
