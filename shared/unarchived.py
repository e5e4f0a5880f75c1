"""Answers that are to be stored, and are not yet: they wait in Redis, whole, until a gateway has stored them.

Jobs of which that was asked are listed from the time they are accepted, see `iq:unarchived`. It is the truth: whoever
stores one does so before he takes it from there, so that a death in between has it stored once more, as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from redis import Redis

from shared.codec import decode_given
from shared.errors import JobNotFound
from shared.keys import Key
from shared.scripts import script

MOST_UNARCHIVED = 10_000
"""Answers that may wait in Redis to be stored. While there are as many, no request is accepted that asks for it."""

MOST_LOOKED = 500
"""Answers that wait to be stored among which a list looks for its owner's."""


_MANY = 500
"""Events of an answer that is stored by itself, for it takes memory."""
_LARGE = 262_144
"""The same of what was given: bytes."""


class Due(NamedTuple):
    """What of it there is to do."""

    ended: list[str]
    """Jobs that have ended. Others are not told of them for a while."""
    others: list[str]
    """Some of those that wait or run."""
    cursor: int
    """Where to go on looking for others; 0: all were looked at."""


class Unarchived:
    """The scripts, callable. Redis's own errors come through."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._due = script(client, "unarchived")
        self._archived = script(client, "archived")
        self._remove = script(client, "remove")
        self._of_conversation = script(client, "conversation")

    def due(self, most: int, patience: float, cursor: int = 0) -> Due:
        """Up to so many of each; in `patience` seconds those that were not stored are due again."""
        ended, others, following = self._due(keys=[], args=[most, int(patience * 1000), cursor])
        return Due([job.decode() for job in ended], [job.decode() for job in others], int(following))

    def of_conversation(self, conversation_id: str) -> list[str]:
        """Those jobs that have ended, and whose answers a conversation gets; the first that ended first."""
        return [job.decode() for job in self._of_conversation(keys=[], args=[conversation_id])]

    def single(self, job_ids: Sequence[str]) -> set[str]:
        """Those that are to be stored one after another: large ones, and those of conversations, as they have ended."""
        with self._client.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hmget(f"{Key.JOB}{job_id}", "seq", "conversation")
                pipeline.strlen(f"{Key.GIVEN}{job_id}")
            found = pipeline.execute()
        told = zip(job_ids, found[::2], found[1::2], strict=True)
        return {each for each, (count, of), size in told if of or int(count or 0) > _MANY or size > _LARGE}

    def waits(self, job_id: str) -> bool:
        """Whether its answer waits to be stored, and was not removed."""
        return bool(self._client.exists(f"{Key.GIVEN}{job_id}"))

    def ended(self, owner: str, most: int = MOST_LOOKED) -> list[str]:
        """Jobs of an owner that have ended, of the first so many that are to be stored."""
        ids: Any = self._client.zrangebyscore(Key.UNARCHIVED, "(0", "+inf", 0, most)
        if not ids:
            return []
        with self._client.pipeline(transaction=False) as pipeline:
            for job_id in ids:
                pipeline.hget(f"{Key.JOB}{job_id.decode()}", "owner")
            owners = pipeline.execute()
        return [job_id.decode() for job_id, whose in zip(ids, owners, strict=True) if whose == owner.encode()]

    def given(self, job_id: str, pause: Callable[[], object] = lambda: None) -> tuple[Any, ...]:
        """What is to be stored with an answer, see `Kept`. `pause` is called between slices of the work.

        Raises JobNotFound where it does not wait to be stored, or is not to be any more; NotUnderstood.
        """
        blob: Any = self._client.get(f"{Key.GIVEN}{job_id}")
        if blob is None:
            raise JobNotFound(job_id)
        return decode_given(blob, pause)

    def release(self, job_id: str, *, dropped: bool = False, indexed: bool = False) -> bool:
        """The answer is stored, or is not to be: from here on its record ends. `indexed`: unless its place, which it
        was given in the index of this Redis, is among what that has lost since; then it waits on.

        True, and nothing is changed, where it was removed meanwhile: then what is stored of it has to be `dropped`
        first. One that waits or runs was put back from before its end: it is cancelled, as if nobody waited for it.
        """
        return bool(self._archived(keys=[], args=[job_id, int(dropped), int(indexed)]))

    def remove(self, job_id: str) -> bool:
        """The answer is not to be stored, and not to be found any more. One that runs is cancelled.

        False where it does not wait to be stored: what is stored of it is to go.
        """
        return bool(self._remove(keys=[], args=[job_id]))

    def removed(self, job_id: str) -> bool:
        """Whether a job's answer was removed, although somebody may be about to store it."""
        return bool(self._client.hexists(f"{Key.JOB}{job_id}", "removed"))
