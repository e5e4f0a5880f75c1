"""The Lua scripts of the archive's index in Redis: each changes it in one step, or not at all."""

from __future__ import annotations

import functools
import re

from redis import Redis
from redis.commands.core import Script

from gateway.archive import index
from shared.scripts import assemble

_BOUNDS = ("MOST_REMEMBERED_OF_ALL", "MOST_REMEMBERED", "REMEMBERED")


@functools.cache
def text(name: str) -> str:
    """The source of a script, without the bounds that are the same in every index."""
    return assemble(__package__, name, ("_books",))


def name_bounds(source: str) -> str:
    """The source with them, as the server gets it."""
    return re.sub(rf"\b({'|'.join(_BOUNDS)})\b", lambda bound: str(getattr(index, bound[0])), source)


def script(client: Redis, name: str) -> Script:
    """One of the scripts beside this module."""
    return client.register_script(name_bounds(text(name)))
