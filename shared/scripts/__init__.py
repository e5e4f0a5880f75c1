"""The Lua scripts: each transition of a job, and who lives, in one step on Redis's own time."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from importlib import resources

from redis import Redis
from redis.commands.core import Script

from shared.keys import Key

COMMON = ("_now", "_readers", "_schedule", "_memory", "_history", "_ticket", "_older")
"""What all of them share, put after each script's first line."""


@functools.cache
def text(name: str) -> str:
    """The source of a script, as the server gets it."""
    return assemble(__package__, name, COMMON)


def assemble(package: str, name: str, common: Iterable[str]) -> str:
    """A script of a package: what it shares with others is put after its first line, and keys get their texts."""
    folder = resources.files(package)
    first, _, rest = (folder / f"{name}.lua").read_text().partition("\n")
    shared = "\n".join((folder / f"{part}.lua").read_text() for part in common)
    return name_keys(f"{first}\n{shared}\n{rest}")


def name_keys(source: str) -> str:
    """Put the texts of `Key` where a script names one of them. Raises KeyError for what is none."""
    return re.sub(r"\bKEY\.(\w+)", lambda name: f"'{Key[name[1].upper()]}'", source)


def script(client: Redis, name: str) -> Script:
    """One of the scripts beside this module."""
    return client.register_script(text(name))
