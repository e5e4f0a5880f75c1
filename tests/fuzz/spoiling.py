"""Spoiled texts, for readers that bytes at random seldom get far into: JSON in which a value is another one."""

from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Iterator
from typing import Any

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**400, 0.5, -1e300, float("inf"), float("nan")),
    *("", "a", "\0", "\ud800", "..", "\\p{L}+", "x" * 3000),
    *([], {}, [[]], [None], ["a", 1], {"a": None}, {"content": "a"}, [1] * 100, [{"id": 1, "content": "a"}]),
)


def spoil(content: bytes, dice: random.Random) -> bytes:
    """Bytes that are others, gone or new."""
    spoiled = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 8))):
        at = dice.randrange(len(spoiled) + 1)
        new = dice.choice((b"", b"\0", b"\xff" * 4, b'"', b"9" * 20, dice.randbytes(dice.choice((1, 4, 8)))))
        spoiled[at : at + dice.choice((0, 1, 4, 100))] = new
    return bytes(spoiled)


def spoil_json(content: bytes, dice: random.Random) -> bytes:
    """Values that are others, or gone; what is no JSON as `spoil` does."""
    try:
        tree = {"": json.loads(content)}
    except (ValueError, RecursionError):
        return spoil(content, dice)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        container, key = dice.choice(list(_places(tree)))
        if key != "" and dice.random() < 0.2:
            del container[key]
        else:
            container[key] = copy.deepcopy(dice.choice(_VALUES))
    return json.dumps(tree.get("")).encode()


def spoil_safetensors(content: bytes, dice: random.Random) -> bytes:
    """The same with its head."""
    end = 8 + int.from_bytes(content[:8], "little")
    head = spoil_json(content[8:end], dice)
    return struct.pack("<Q", len(head)) + head + content[end:]


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)
