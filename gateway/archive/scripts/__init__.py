"""The Lua scripts of the archive's index in Redis: each changes it in one step, or not at all."""

from __future__ import annotations

import functools

from redis import Redis
from redis.commands.core import Script

from shared.scripts import assemble


@functools.cache
def text(name: str) -> str:
    """The source of a script, as the server gets it."""
    return assemble(__package__, name, ("_books",))


def script(client: Redis, name: str) -> Script:
    """One of the scripts beside this module."""
    return client.register_script(text(name))
