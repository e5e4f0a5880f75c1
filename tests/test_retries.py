"""A client that comes again gets the job it has paid for; a client that is gone for good frees the CPU."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import openai
import pytest

from tests.calls import CHATS, COMPLETIONS, LATER, chat, completion, post_later, problem, raw_post, said, submitted
from tests.stack import Stack, running, wait_for


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """An echo that thinks for 2.5 s before its first word, and two gateway processes to come back to.

    Tests share it, so each asks for a text of its own: `mine`.
    """
    with running(tmp_path_factory.mktemp("slow"), lease=2) as stack:
        stack.start_gateway(processes=2)
        stack.start_worker(echo_prefill_ms=2500, slots=16)
        yield stack


@pytest.fixture
def mine(request: pytest.FixtureRequest) -> str:
    return f"mine in {request.node.name}"


@pytest.fixture
def known(slow: Stack) -> set[str]:
    """The jobs of tests before."""
    return set(slow.jobs())


def leave(stack: Stack, body: dict[str, Any], headers: dict[str, str]) -> str:
    """Ask, and close the connection before the answer; the job's id."""
    known = set(stack.jobs())
    with raw_post(stack, CHATS, body, **headers):
        return submitted(stack, known, "in_progress")


def ask(stack: Stack, body: dict[str, Any], headers: dict[str, str]) -> tuple[str, str]:
    """(job id, text) of an answer to the very bytes that `leave` sends."""
    answer = stack.http().post(CHATS, content=json.dumps(body), headers={"Content-Type": "application/json", **headers})
    assert answer.status_code == 200, answer.text
    return answer.json()["id"], answer.json()["choices"][0]["message"]["content"]


def attempt(number: int, timeout: float = 600) -> dict[str, str]:
    return {"x-stainless-retry-count": str(number), "x-stainless-read-timeout": str(timeout)}


class TestTheClientsOwnRetries:
    def test_a_client_that_times_out_joins_its_job_and_gets_the_answer(self, slow: Stack, known: set[str]) -> None:
        client = slow.client(timeout=0.8, max_retries=5)  # its second attempt leaves well before the end of the job
        answer = client.chat.completions.create(model="echo", messages=said("Once and only once"))
        assert answer.choices[0].message.content == "Once and only once"
        [job] = set(slow.jobs()) - known
        assert slow.state(job) == "completed"

    def test_a_broken_connection_is_joined_within_two_seconds(self, slow: Stack, mine: str, known: set[str]) -> None:
        job = leave(slow, chat(mine), attempt(0))
        wait_for(lambda: slow.redis.zscore("iq:lingering:echo", job), "the linger")  # the client waits half a second
        assert ask(slow, chat(mine), attempt(1)) == (job, mine)
        assert set(slow.jobs()) - known == {job}

    def test_without_a_retry_it_is_cancelled_after_the_linger(self, served: Stack) -> None:
        served.start_worker(echo_prefill_ms=60_000)
        job = leave(served, chat("mine"), attempt(0))
        assert served.state(job) == "in_progress"
        wait_for(lambda: served.state(job) == "cancelled", "the cancel")

    def test_what_left_at_its_own_timeout_is_waited_for_longer(self, slow: Stack, mine: str) -> None:
        """The clients in JavaScript tell it under another name."""
        job = leave(slow, chat(mine), {"x-stainless-retry-count": "0", "x-stainless-timeout": "1"})
        wait_for(lambda: slow.state(job) == "completed", "the end that nobody waits for")

    def test_a_client_that_does_not_count_is_gone_for_good(self, slow: Stack, mine: str) -> None:
        job = leave(slow, chat(mine), {})
        wait_for(lambda: slow.state(job) == "cancelled", "the cancel", 1.9)

    @pytest.mark.parametrize(
        ("more", "options", "number"),
        [(" too", {}, 1), ("", {}, 0), ("", {}, 2), ("", {"seed": 1}, 1)],
        ids=["another body", "a first attempt", "a later attempt", "another seed"],
    )
    def test_others_get_jobs_of_their_own(
        self, slow: Stack, mine: str, known: set[str], more: str, options: dict[str, Any], number: int
    ) -> None:
        job = leave(slow, chat(mine), attempt(0))
        other, _ = ask(slow, chat(mine + more, **options), attempt(number))
        assert other != job
        assert set(slow.jobs()) - known == {job, other}

    def test_a_job_that_somebody_reads_is_not_joined(self, served: Stack) -> None:
        served.start_worker(echo_rate=5)
        with served.http().stream("POST", CHATS, json=chat("one two three four", stream=True), headers=attempt(0)):
            [first] = served.jobs()
            with served.http().stream(
                "POST", CHATS, json=chat("one two three four", stream=True), headers=attempt(1)
            ) as other:
                assert other.headers["location"] != f"/v1/jobs/{first}"

    def test_a_stream_that_had_begun_is_cancelled_at_once(self, served: Stack) -> None:
        served.start_worker(echo_rate=5)
        with served.http().stream("POST", CHATS, json=chat("word " * 50, stream=True), headers=attempt(0)) as answer:
            next(answer.iter_lines())
        [job] = served.jobs()
        wait_for(lambda: served.state(job) == "cancelled", "the cancel", 1.9)

    def test_a_cancelled_job_is_not_joined(self, slow: Stack, mine: str) -> None:
        job = leave(slow, chat(mine), attempt(0))
        slow.http().delete(f"/v1/jobs/{job}")
        assert ask(slow, chat(mine), attempt(1))[0] != job


class TestIdempotencyKey:
    def test_the_same_key_and_body_are_one_job(self, slow: Stack, mine: str, known: set[str]) -> None:
        headers = {"Idempotency-Key": "k1"}
        job = leave(slow, chat(mine), headers)
        assert ask(slow, chat(mine), headers) == (job, mine)
        assert ask(slow, chat(mine), headers) == (job, mine)  # finished meanwhile
        assert set(slow.jobs()) - known == {job}

    def test_it_outlives_its_client_for_a_minute(self, slow: Stack, mine: str) -> None:
        job = leave(slow, chat(mine), {"Idempotency-Key": "k2"})
        wait_for(lambda: slow.state(job) == "completed", "the end that nobody waits for")
        assert ask(slow, chat(mine), {"Idempotency-Key": "k2"}) == (job, mine)

    def test_another_body_is_refused(self, slow: Stack) -> None:
        ask(slow, chat("mine"), {"Idempotency-Key": "k3"})
        answer = slow.http().post(CHATS, json=chat("other"), headers={"Idempotency-Key": "k3"})
        assert problem(answer, 422)["code"] == "idempotency_key_reused"
        answer = slow.http().post(COMPLETIONS, json=completion("mine"), headers={"Idempotency-Key": "k3"})
        assert problem(answer, 422)["code"] == "idempotency_key_reused"
        with pytest.raises(openai.UnprocessableEntityError):
            slow.client().chat.completions.create(
                model="echo", messages=said("x"), extra_headers={"Idempotency-Key": "k3"}
            )

    def test_polling_clients_join_too(self, slow: Stack) -> None:
        headers = {"Idempotency-Key": "k4", **LATER}
        first, second = (slow.http().post(CHATS, json=chat("mine"), headers=headers).json()["id"] for _ in range(2))
        assert first == second
        wait_for(lambda: slow.state(first) == "completed", "the end")

    def test_a_failed_job_is_not_joined(self, slow: Stack, known: set[str]) -> None:
        headers = {"Idempotency-Key": "k5"}
        too_long = chat("word " * 40_000)
        answers = [slow.http().post(CHATS, json=too_long, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [400, 400]
        assert len(set(slow.jobs()) - known) == 2


def test_jobs_of_a_dead_gateway_are_cancelled_once_nobody_can_come_for_them(empty: Stack) -> None:
    gateway = empty.start_gateway()
    empty.start_worker(echo_prefill_ms=60_000, grace=0)
    polled = post_later(empty.http(), "polled")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(httpx.post, empty.url + CHATS, json=chat("waiting"), timeout=60)
        [job] = wait_for(lambda: set(empty.jobs()) - {polled}, "the job")
        gateway.kill()
        with pytest.raises(httpx.TransportError):
            waiting.result()
    gateways: Any = empty.redis.zrange("iq:live:gateways", 0, -1)
    empty.redis.zadd("iq:live:gateways", {gateways[0]: 1})  # as it is a minute later
    wait_for(lambda: empty.redis.zscore("iq:lingering:echo", job), "the linger")
    empty.redis.zadd("iq:lingering:echo", {job: 1})
    wait_for(lambda: empty.state(job) == "cancelled", "the cancel")
    assert empty.state(polled) == "in_progress"
