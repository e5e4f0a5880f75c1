"""Who feeds a batch: one gateway process at a time, which says so in Redis.

A hint, so that no work is done twice: two who feed one batch at the same time do it no harm.
"""

from __future__ import annotations

from redis import Redis

from shared.keys import Key

SECONDS = 5
"""Within which a batch has another feeder when its own has died."""


class FeedLease:
    """Those of one process. Redis's own errors come through."""

    def __init__(self, client: Redis, name: str) -> None:
        self._client = client
        self._name = name

    def take(self, batch_id: str) -> bool:
        """Whether this process feeds the batch from now on, for `SECONDS`."""
        key = f"{Key.BATCH}{batch_id}"
        return bool(self._client.set(key, self._name, nx=True, ex=SECONDS)) or self.renew(batch_id)

    def renew(self, batch_id: str) -> bool:
        """For `SECONDS` more. False where another one does."""
        key = f"{Key.BATCH}{batch_id}"
        holder = self._client.get(key)
        if holder is None:
            return bool(self._client.set(key, self._name, nx=True, ex=SECONDS))
        return holder == self._name.encode() and bool(self._client.expire(key, SECONDS))

    def let_go(self, batch_id: str) -> None:
        key = f"{Key.BATCH}{batch_id}"
        if self._client.get(key) == self._name.encode():
            self._client.delete(key)
