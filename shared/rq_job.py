"""The hash by which RQ's tools show a job.

It is not what runs: the worker reads the ticket and calls its runner itself, so a hash that somebody else put there can
name any function without it ever being imported.
"""

from __future__ import annotations

from rq.utils import now, utcformat


def fields(model: str, job_id: str) -> list[str | int]:
    """Names and values in turn."""
    # Nothing in it is longer than 64 bytes, for beyond that Redis needs three times the memory for the hash.
    shown: dict[str, str | int] = {"origin": model, "description": job_id, "status": "queued", "timeout": -1}
    shown |= {"data": '["worker.run.run",null,[],{}]', "created_at": utcformat(now())}
    return [part for field in shown.items() for part in field]
