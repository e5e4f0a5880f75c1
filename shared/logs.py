"""Logs: one line an event, on stderr."""

from __future__ import annotations

import logging
import time


class _Lines(logging.Formatter):
    converter = staticmethod(time.gmtime)


def setup(level: str) -> None:
    """Have every logger of this process write to stderr from `level` (`debug`, `info`, `warning`, `error`) on."""
    handler = logging.StreamHandler()
    form = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s[%(process)d] %(message)s"
    handler.setFormatter(_Lines(form, "%Y-%m-%dT%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
