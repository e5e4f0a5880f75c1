"""All clients of a process: how many there may be, how many of them of one peer or one key, and who makes room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.client import Client
from gateway.peers import Proxies, neighbourhood
from gateway.rows import OwnerRows
from gateway.slices import RunQueue
from shared.config import Config
from shared.errors import TooManyConnections

_FULL = 0.9
"""The part of all connections from which on a new one takes the place of one that keeps us waiting."""


class Crowd:
    """Who is connected. Where there is no room, the one goes who has kept us waiting longest, to send or to read."""

    def __init__(self, most: int, config: Config, queue: RunQueue) -> None:
        """`most` connections are all that this process takes."""
        self.queue = queue
        self.rows = OwnerRows(queue)
        self._most = int(most * _FULL)
        self._most_of_peer = min(config.max_peer_connections, max(1, most // 2))
        self._most_of_owner = min(config.max_key_connections, max(1, most // 2))
        self._proxies = Proxies.parse(config.trusted_proxies)
        self._here: set[Client] = set()
        self._waiting: dict[Client, None] = {}
        """Who keeps us waiting, the longest first."""
        self._peers: Counter[str] = Counter()
        self._owners: Counter[str] = Counter()

    def peer(self, address: str) -> str:
        """What the connections from an address are counted by; empty where they may be those of many clients."""
        peer = neighbourhood(address)
        near = peer == "::/64" or peer.startswith("127.") or not peer  # the last is that of a unix socket
        return "" if near or self._proxies.trust(address) else peer

    def enter(self, client: Client) -> None:
        """Raises TooManyConnections. End with `leave`, in any case."""
        self._here.add(client)
        if client.peer:
            self._peers[client.peer] += 1
            if self._peers[client.peer] > self._most_of_peer:
                self._make_room(lambda other: other.peer == client.peer)
        if len(self._here) > self._most and self._waiting:
            self._make_room(lambda other: True)

    def leave(self, client: Client) -> None:
        self._here.discard(client)
        _decrease(self._peers, client.peer)
        _decrease(self._owners, client.owner)

    def count_owner(self, client: Client, owner: str) -> None:
        """The client's request is this owner's. Raises TooManyConnections."""
        if client.owner == owner:
            return
        _decrease(self._owners, client.owner)
        client.owner = owner
        if owner:
            self._owners[owner] += 1
            if self._owners[owner] > self._most_of_owner:
                self._make_room(lambda other: other.owner == owner)

    @contextmanager
    def kept_waiting(self, client: Client) -> Iterator[None]:
        self._waiting[client] = None
        try:
            yield
        finally:
            self._waiting.pop(client, None)

    def dismiss(self) -> None:
        """End the connections of those who might ask something one day."""
        for client in [client for client in self._here if client.expecting]:
            client.cut()

    def _make_room(self, may_go: Callable[[Client], bool]) -> None:
        longest = next(filter(may_go, self._waiting), None)
        if longest is None:
            raise TooManyConnections
        del self._waiting[longest]
        longest.cut()


def _decrease(counts: Counter[str], name: str) -> None:
    counts[name] -= 1
    if counts[name] <= 0:
        del counts[name]
