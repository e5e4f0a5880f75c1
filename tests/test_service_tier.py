"""`service_tier`, and what keys may ask for: who goes first, who may not, and how many jobs one key may have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import openai
import pytest
from openai import OpenAI

from tests.calls import CHATS, COMPLETIONS, ENDLESS, LATER, PROGRESS, chat, completion, data, post_later, problem, said
from tests.stack import Stack, running, wait_for

KEYS = "alice:sk-alice priority weight=2,bob:sk-bob,carol:sk-carol max_jobs=2"
MOST = 20


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One slot, and three who want it."""
    with running(tmp_path_factory.mktemp("tiers"), api_keys=KEYS, max_queue=MOST) as stack:
        stack.start_gateway()
        stack.start_worker(slots=1, echo_rate=100)
        yield stack


def by(stack: Stack, name: str) -> httpx.Client:
    http = stack.http()
    http.headers["Authorization"] = f"Bearer sk-{name}"
    return http


@pytest.fixture
def alice(stack: Stack) -> httpx.Client:
    return by(stack, "alice")


@pytest.fixture
def bob(stack: Stack) -> httpx.Client:
    return by(stack, "bob")


@pytest.fixture
def carol(stack: Stack) -> httpx.Client:
    return by(stack, "carol")


@pytest.fixture
def blocked(stack: Stack, bob: httpx.Client) -> Iterator[None]:
    """Somebody's answer takes the slot meanwhile."""
    job_id = post_later(bob, ENDLESS)
    wait_for(lambda: stack.state(job_id) == "in_progress", "the start")
    yield
    assert bob.delete(f"/v1/jobs/{job_id}").json()["status"] == "cancelled"
    wait_for(lambda: not set(stack.jobs().values()) & {"queued", "in_progress"}, "the end of all", 60)


def position(http: httpx.Client, job_id: str) -> int | None:
    found: int | None = http.get(f"/v1/jobs/{job_id}").json()["queue_position"]
    return found


# --- what is asked for and what is answered


@pytest.mark.parametrize(("path", "body"), [(CHATS, chat("One two")), (COMPLETIONS, completion("One two"))])
@pytest.mark.parametrize(
    ("asked", "used"),
    [
        (None, "default"),
        ("auto", "default"),
        ("default", "default"),
        ("priority", "priority"),
        ("fast", "priority"),
        ("flex", "flex"),
    ],
)
def test_answers_say_which_was_used(
    alice: httpx.Client, path: str, body: dict[str, Any], asked: str | None, used: str
) -> None:
    whole = alice.post(path, json={**body, "service_tier": asked})
    assert whole.status_code == 200, whole.text
    assert whole.json()["service_tier"] == used
    with alice.stream("POST", path, json={**body, "service_tier": asked, "stream": True}) as response:
        *chunks, done = data(response.iter_lines())
    assert done == "[DONE]"
    assert {chunk["service_tier"] for chunk in chunks} == {used}
    job_id = alice.post(path, json={**body, "service_tier": asked}, headers=LATER).json()["id"]
    job = wait_for(lambda: (found := alice.get(f"/v1/jobs/{job_id}").json())["result"] and found, "the answer")
    assert job["result"]["service_tier"] == used


def test_the_client_knows_it(stack: Stack) -> None:
    with OpenAI(base_url=f"{stack.url}/v1", api_key="sk-alice", max_retries=0) as client:
        answer = client.chat.completions.create(model="echo", messages=said("Hello"), service_tier="priority")
        assert answer.service_tier == "priority"
    with OpenAI(base_url=f"{stack.url}/v1", api_key="sk-bob", max_retries=5) as client:
        answer = client.chat.completions.create(model="echo", messages=said("Hello"), service_tier="flex")
        assert answer.service_tier == "flex"
        with pytest.raises(openai.PermissionDeniedError) as refused:
            client.chat.completions.create(model="echo", messages=said("Hello"), service_tier="priority")
    assert (refused.value.param, refused.value.code) == ("service_tier", "tier_refused")


@pytest.mark.parametrize("path", [CHATS, COMPLETIONS])
@pytest.mark.parametrize(
    ("tier", "code"), [("scale", "unsupported_value"), ("", "unsupported_value"), (1, "invalid_type")]
)
def test_others_are_refused_by_name(alice: httpx.Client, path: str, tier: object, code: str) -> None:
    body = chat("Hello") if path == CHATS else completion("Hello")
    error = problem(alice.post(path, json={**body, "service_tier": tier}), 400)
    assert (error["param"], error["code"]) == ("service_tier", code)
    assert tier == 1 or "auto, default, priority, fast, flex" in error["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_priority_is_for_keys_that_may_ask_for_it(stack: Stack, bob: httpx.Client, stream: bool) -> None:
    known = stack.jobs()
    response = bob.post(CHATS, json=chat("Hello", service_tier="priority", stream=stream))
    error = problem(response, 403)
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "service_tier", "tier_refused")
    assert "service_tier" in error["message"]
    assert response.headers["x-should-retry"] == "false"
    assert stack.jobs().keys() == known.keys()


# --- whose turn it is


@pytest.mark.usefixtures("blocked")
def test_the_better_tier_goes_first_and_everybody_is_told_so(
    stack: Stack, alice: httpx.Client, bob: httpx.Client
) -> None:
    flex = [post_later(bob, "One", service_tier="flex") for _ in range(2)]
    default = [post_later(bob, "One") for _ in range(2)]
    priority = post_later(alice, "One", service_tier="priority")
    assert [position(alice, priority), *(position(bob, job) for job in default + flex)] == [1, 2, 3, 4, 5]
    with bob.stream("GET", f"/v1/jobs/{flex[1]}/events", headers=PROGRESS) as stream:
        assert next(stream.iter_lines()).startswith(": queued position=5")


@pytest.mark.usefixtures("blocked")
def test_owners_take_turns(alice: httpx.Client, bob: httpx.Client, carol: httpx.Client) -> None:
    """Bob has had the slot for a while, and alice has twice the weight of carol."""
    bobs = [post_later(bob, "One") for _ in range(4)]
    others = [post_later(alice, "One") for _ in range(2)] + [post_later(carol, "One")]
    assert position(bob, bobs[-1]) == 7
    assert {position(alice, job) for job in others[:2]} | {position(carol, others[2])} <= {1, 2, 3, 4}


# --- how many a key may have


@pytest.mark.usefixtures("blocked")
def test_a_key_has_a_bound_of_its_own(stack: Stack, bob: httpx.Client, carol: httpx.Client) -> None:
    jobs = [post_later(carol, "One") for _ in range(2)]
    for later in ({}, LATER):
        response = carol.post(CHATS, json=chat("One"), headers=later)
        error = problem(response, 429)
        assert (error["type"], error["param"], error["code"]) == ("rate_limit_error", None, "key_queue_full")
        assert "This API key has 2 requests" in error["message"]
        assert "x-should-retry" not in response.headers
        assert response.headers["retry-after"] == "5"  # none of hers runs: nobody can tell
    post_later(bob, "One")  # which does not concern others
    assert carol.delete(f"/v1/jobs/{jobs[0]}").json()["status"] == "cancelled"
    post_later(carol, "One")


def test_a_refused_key_is_told_when_one_of_its_jobs_ends(stack: Stack, carol: httpx.Client) -> None:
    stack.redis.hset("iq:counts:echo", mapping={"held_us:default": 40 * 1_000_000, "held:default": 20})
    jobs = [post_later(carol, ENDLESS) for _ in range(2)]
    wait_for(lambda: stack.state(jobs[0]) == "in_progress", "the start")
    response = carol.post(CHATS, json=chat("One"))
    assert problem(response, 429)["code"] == "key_queue_full"
    assert 20_000 < int(response.headers["retry-after-ms"]) <= 40_000
    for job_id in jobs:
        assert carol.delete(f"/v1/jobs/{job_id}").json()["status"] == "cancelled"


@pytest.mark.usefixtures("blocked")
def test_no_key_fills_the_queue_alone(stack: Stack, bob: httpx.Client, alice: httpx.Client) -> None:
    """Without a bound of its own a key has half of the queue; the bound of the model is for all."""
    for _ in range(MOST // 2 - 1):  # one more runs
        post_later(bob, "One")
    assert problem(bob.post(CHATS, json=chat("One")), 429)["code"] == "key_queue_full"
    for _ in range(MOST // 2):
        post_later(alice, "One")
    assert problem(alice.post(CHATS, json=chat("One")), 429)["code"] == "key_queue_full"


def test_a_gateway_without_keys_bounds_nobody(echo: Stack) -> None:
    answer = echo.http().post(CHATS, json=chat("Hello", service_tier="priority"))
    assert answer.json()["service_tier"] == "priority"
