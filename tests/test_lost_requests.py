"""Redis has lost a job: who can put it back, and as what."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

from tests.calls import CHATS, busy, chat, post_later, raw_post, submitted
from tests.losses import lose_job
from tests.stack import Stack, wait_for

PATIENCE = 40.0
"""Seconds: what is promised is 10, and machines differ by a factor of four."""


def test_a_job_is_put_back_as_it_was_by_who_joined_it(served: Stack, pool: ThreadPoolExecutor) -> None:
    """He knows it by his own request, in which a seed was drawn anew. Who only follows keeps no large request."""
    served.start_worker(slots=1, echo_rate=100)
    with busy(served):
        known = set(served.jobs())
        body, key = chat("mine"), {"Idempotency-Key": "j"}
        headers = {"Content-Type": "application/json", **key}
        first = raw_post(served, CHATS, body, **key)
        job_id = submitted(served, known, "queued")
        accepted = served.redis.get(f"iq:task:{job_id}")
        first.close()
        wait_for(lambda: served.redis.hget(f"iq:job:{job_id}", "waiting") == b"", "its leaving")
        asked = pool.submit(served.http().post, CHATS, content=json.dumps(body).encode(), headers=headers)
        wait_for(lambda: served.redis.hget(f"iq:job:{job_id}", "waiting"), "the second one")
        large = post_later(served.http(), "large " * 20_000)
        following = pool.submit(served.http().get, f"/v1/jobs/{large}/events")
        wait_for(lambda: served.redis.hget(f"iq:job:{large}", "reply"), "the follower")
        time.sleep(1)  # both have what they need
        lose_job(served, job_id)
        lose_job(served, large)
        wait_for(lambda: served.state(job_id) == "queued", "its return", PATIENCE)
        assert served.redis.get(f"iq:task:{job_id}") == accepted
        assert '"code":"worker_lost"' in following.result(timeout=PATIENCE).text
        assert served.state(large) == ""
    assert asked.result(timeout=PATIENCE).json()["choices"][0]["message"]["content"] == "mine"
