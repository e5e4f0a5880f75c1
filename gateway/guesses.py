"""Wrong API keys: nobody can try many of them, and who sends a right one does not wait for those who do."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from typing import TypeVar

from gateway.keys import Keys, Owner
from gateway.peers import neighbourhood
from shared.errors import InvalidApiKey, TooManyWrongKeys

K = TypeVar("K")
V = TypeVar("V")

MOST_WRONG_KEYS = 20
"""That a peer may send at once. Then it has one more try a second, whatever it sends."""
MOST_REMEMBERED = 10_000
"""Peers with wrong keys, and right keys with their peers, that a process remembers: the latest ones."""
_AGAIN = 1.0
"""Seconds after which one more is allowed; it is the Retry-After of the error, too."""


class Guesses:
    """The keys of a gateway, looked up for peers that may be guessing."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._wrong: OrderedDict[str, float] = OrderedDict()
        """By peer, when all of its wrong keys will be forgotten: each adds `_AGAIN` seconds."""
        self._right: OrderedDict[tuple[str, bytes], None] = OrderedDict()
        """Digests of right keys, and who sent them. They go on beside somebody behind the same proxy who guesses."""

    def owner(self, key: str, peer: str) -> Owner:
        """Whom `key` belongs to, which came from the address `peer`. Raises InvalidApiKey, TooManyWrongKeys.

        The latter without a look at the key: were a right one answered otherwise, guessing could go on.
        """
        mine = peer, hashlib.sha256(key.encode()).digest()
        if mine not in self._right and self._due(peer) > (MOST_WRONG_KEYS - 1) * _AGAIN:
            raise TooManyWrongKeys
        try:
            found = self._keys.owner(key)
        except InvalidApiKey:
            self._right.pop(mine, None)
            _keep(self._wrong, neighbourhood(peer), time.monotonic() + self._due(peer) + _AGAIN)
            raise
        _keep(self._right, mine, None)
        return found

    def _due(self, peer: str) -> float:
        """Seconds until all wrong keys of a peer are forgotten."""
        if not self._wrong:
            return 0.0
        now = time.monotonic()
        return max(0.0, self._wrong.get(neighbourhood(peer), now) - now)


def _keep(latest: OrderedDict[K, V], key: K, value: V) -> None:
    latest[key] = value
    latest.move_to_end(key)
    if len(latest) > MOST_REMEMBERED:
        latest.popitem(last=False)
