"""Redis has lost a job: who can put it back, and as what."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from redis import Redis

from gateway.dispatch import Dispatcher
from gateway.keys import EVERYBODY
from gateway.replies import Replies
from shared import streams
from shared.config import Config
from shared.errors import JobNotFound
from shared.loops import Loops
from shared.protocol import Accepted, Completion, Sampling
from shared.tickets import Tickets
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


def test_a_job_that_is_lost_while_somebody_begins_to_follow_it_is_unknown(
    tickets: Tickets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else he would wait for what he could not put back, and be told after seconds that it was lost."""
    unused: Any = SimpleNamespace()
    replies, parts = Replies(tickets.client, Loops(), 2.0), (unused, unused, unused, unused)
    dispatcher = Dispatcher(tickets, replies, *parts, lambda box: None, Config())
    accepted = Accepted(Completion("m", ("once",), Sampling(seed=7)), created=1)
    tickets.submit("a", accepted, reply="", max_queue=9, wait=60, keep=60)
    ticket, read = tickets.get("a"), streams.accepted
    dispatcher.detach(dispatcher.follow(ticket, EVERYBODY))

    def lose(client: Redis, job_id: str) -> Accepted:
        found = read(client, job_id)
        client.flushall()
        return found

    monkeypatch.setattr("gateway.dispatch.streams.accepted", lose)
    with pytest.raises(JobNotFound):
        dispatcher.follow(ticket, EVERYBODY)


def test_what_it_was_given_comes_back_with_it(served: Stack, pool: ThreadPoolExecutor) -> None:
    """Whoever puts it back: else its conversation would get an answer without its question."""
    served.start_worker(slots=1, echo_rate=100)
    client = served.client()
    conversation = client.conversations.create().id
    with busy(served):
        known = set(served.jobs())
        body, key = {"model": "echo", "input": "mine", "conversation": conversation}, {"Idempotency-Key": "g"}
        headers = {"Content-Type": "application/json", **key}
        first = raw_post(served, "/v1/responses", body, **key)
        joined = submitted(served, known, "queued")
        first.close()
        wait_for(lambda: served.redis.hget(f"iq:job:{joined}", "waiting") == b"", "its leaving")
        asked = pool.submit(served.http().post, "/v1/responses", content=json.dumps(body).encode(), headers=headers)
        wait_for(lambda: served.redis.hget(f"iq:job:{joined}", "waiting"), "the second one")
        followed = client.responses.create(model="echo", input="yours", conversation=conversation, background=True).id
        following = pool.submit(lambda: list(client.responses.retrieve(followed, stream=True)))
        wait_for(lambda: served.redis.hget(f"iq:job:{followed}", "reply"), "the follower")
        given = [served.redis.get(f"iq:given:{job_id}") for job_id in (joined, followed)]
        time.sleep(1)  # both have what they need
        lose_job(served, joined)
        lose_job(served, followed)
        wait_for(lambda: served.state(joined) == served.state(followed) == "queued", "their return", PATIENCE)
        assert [served.redis.get(f"iq:given:{job_id}") for job_id in (joined, followed)] == given != [None, None]
    assert asked.result(timeout=PATIENCE).json()["status"] == "completed"
    assert following.result(timeout=PATIENCE)[-1].type == "response.completed"
    items = client.conversations.items.list(conversation)
    assert sorted(item.to_dict()["role"] for item in items) == ["assistant", "assistant", "user", "user"]  # type: ignore[type-var]  # values of `to_dict` are objects
