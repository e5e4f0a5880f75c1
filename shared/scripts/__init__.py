"""The Lua scripts: each transition of a job, and who lives, in one step on Redis's own time."""

from __future__ import annotations

import functools
from importlib import resources

from redis import Redis
from redis.commands.core import Script

COMMON = ("_keys", "_schedule", "_ticket")
"""What all of them share, put after each script's first line."""


@functools.cache
def text(name: str) -> str:
    """The source of a script, as the server gets it."""
    scripts = resources.files(__package__)
    first, _, rest = (scripts / f"{name}.lua").read_text().partition("\n")
    common = "\n".join((scripts / f"{part}.lua").read_text() for part in COMMON)
    return f"{first}\n{common}\n{rest}"


def script(client: Redis, name: str) -> Script:
    """One of the scripts beside this module."""
    return client.register_script(text(name))
