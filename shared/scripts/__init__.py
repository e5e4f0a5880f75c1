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


_DEFINITION = re.compile(r"^local (?:function )?([\w, ]+?)(?:\(| = )", re.MULTILINE)
_NO_NAMES = re.compile(r"--.*|'[^']*'")
"""What of Lua's text names nothing: comments and strings."""


@functools.cache
def text(name: str) -> str:
    """The source of a script, as the server gets it."""
    return assemble(__package__, name, COMMON, cut=True)


def cut_down(common: str, script: str) -> str:
    """Of the definitions that scripts share, those that one of them names, by whatever way, in their order.

    Each call of a script makes all of its definitions anew, which takes longer than most scripts do.
    """
    begins = [found.start() for found in _DEFINITION.finditer(common)]
    pieces = [common[begin:end] for begin, end in zip(begins, [*begins[1:], len(common)], strict=True)]
    kept, named = list[str](), _names(script)
    for piece in reversed(pieces):  # each names only those before it
        found = _DEFINITION.match(piece)
        assert found
        if named & _names(found[1]):
            kept.append(piece)
            named |= _names(piece)
    return "".join(reversed(kept))


def _names(source: str) -> set[str]:
    return set(re.findall(r"\w+", _NO_NAMES.sub("", source)))


def assemble(package: str, name: str, common: Iterable[str], *, cut: bool = False) -> str:
    """A script of a package: what it shares with others is put after its first line, and keys get their texts."""
    folder = resources.files(package)
    first, _, rest = (folder / f"{name}.lua").read_text().partition("\n")
    shared = "\n".join((folder / f"{part}.lua").read_text() for part in common)
    shared = cut_down(shared, rest) if cut else shared
    return name_keys(f"{first}\n{shared}\n{rest}")


def name_keys(source: str) -> str:
    """Put the texts of `Key` where a script names one of them. Raises KeyError for what is none."""
    return re.sub(r"\bKEY\.(\w+)", lambda name: f"'{Key[name[1].upper()]}'", source)


def script(client: Redis, name: str) -> Script:
    """One of the scripts beside this module."""
    return client.register_script(text(name))
