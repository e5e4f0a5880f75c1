"""What is wrong within an index in Redis."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from redis import Redis

from gateway.archive.redis_thing import unpack
from gateway.archive.scripts import script
from gateway.archive.thing import Thing
from shared.audit import Finding
from shared.keys import Key

_LOOKS, _PAUSE = 5, 0.3
"""How often is looked at what seems wrong, and the seconds between two looks."""
_AT_ONCE = 200
"""Things that one call judges; Redis does nothing else meanwhile."""


def find(client: Redis) -> list[Finding]:
    """See `Index.audit`. What others write can be seen between two places: a finding is what is wrong at each look."""
    found = set(_look(client))
    for _ in range(1, _LOOKS):
        if not found:
            break
        time.sleep(_PAUSE)
        found &= set(_look(client))
    return sorted(found)


def _look(client: Redis) -> Iterator[Finding]:
    there, judge = Counter[str](), script(client, "judge")
    walked: Any = client.hscan_iter(Key.ARCHIVE_THINGS, count=_AT_ONCE)
    for chunk in _chunks({name.decode(): words for name, words in walked}):
        there.update(sum((_counts_of(unpack(name, words)) for name, words in chunk), Counter[str]()))
        for name, problem in judge(keys=[], args=["", *(name for name, _ in chunk)]):
            yield Finding(name.decode(), problem.decode())
    yield from _miscounted(client, there)
    yield from _misplaced(client)


def _miscounted(client: Redis, there: Counter[str]) -> Iterator[Finding]:
    told: Any = client.hgetall(Key.ARCHIVE_COUNTS)
    counted = Counter({what.decode(): int(by) for what, by in told.items()})
    for what in sorted((there.keys() | counted.keys()) - {"taken"}):
        if counted[what] != there[what]:
            yield Finding(Key.ARCHIVE_COUNTS, f"{counted[what]} {what} are counted: there are {there[what]}")
    owners: Any = client.zrange(Key.ARCHIVE_OWNERS, 0, -1, withscores=True)
    held = Counter({owner.decode(): int(size) for owner, size in owners})
    weights = Counter({what.split(":", 2)[2]: by for what, by in there.items() if what.startswith("bytes:*:")})
    for owner in sorted(held.keys() | weights.keys()):
        if held[owner] != weights[owner]:
            yield Finding(
                Key.ARCHIVE_OWNERS, f"{held[owner]} bytes are counted for {owner!r}: {weights[owner]} are there"
            )


def _misplaced(client: Redis) -> Iterator[Finding]:
    """Lists whose leaves are not there, leaves in no list, and ids in leaves that no thing has."""
    lists = [key for kind in (Key.ARCHIVE_LIST, Key.ARCHIVE_PARTS) for key in client.scan_iter(f"{kind}*", count=1000)]
    leaves: dict[str, str] = {}
    for key in lists:
        named: Any = client.zrange(key, 0, -1)
        leaves |= {f"{Key.ARCHIVE_LEAF}{leaf.decode()}": key.decode() for leaf in named}
    existing = {key.decode() for key in client.scan_iter(f"{Key.ARCHIVE_LEAF}*", count=1000)}
    due: Any = client.zrange(Key.ARCHIVE_DUE, 0, -1)
    for leaf in sorted({f"{Key.ARCHIVE_LEAF}{leaf.decode()}" for leaf in due} | leaves.keys() | existing):
        if leaf not in leaves:
            yield Finding(leaf, "is in no list")
        elif leaf not in existing:
            yield Finding(leaf, f"is in {leaves[leaf]}, and is not there")
        else:
            ids: Any = client.zrange(leaf, 0, -1)
            known: Any = client.hmget(Key.ARCHIVE_THINGS, ids) if ids else []
            for thing_id, words in zip(ids, known, strict=True):
                if words is None:
                    yield Finding(thing_id.decode(), f"is in {leaf}, and is not there")


def _counts_of(thing: Thing) -> Counter[str]:
    places = [place for kind in ("*", thing.kind) for place in (kind, f"{kind}:{thing.owner}")]
    return Counter({f"{what}:{place}": by for place in places for what, by in (("things", 1), ("bytes", thing.weight))})


def _chunks(items: dict[str, bytes]) -> Iterator[Sequence[tuple[str, bytes]]]:
    listed = list(items.items())
    return (listed[start : start + _AT_ONCE] for start in range(0, len(listed), _AT_ONCE))
