"""The numbers of `/metrics` are true: over several processes, over gateways, and after what was killed."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx2 as httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.calls import CHATS, ENDLESS, chat, post_later, raw_post
from tests.stack import Stack, children, free_port, running, wait_for

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(url: str) -> Samples:
    answer = httpx.get(f"{url}/metrics", timeout=20)
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


class Numbers:
    """The metrics of a gateway, each read afresh."""

    def __init__(self, url: str) -> None:
        self.url = url

    def all(self) -> Samples:
        return scrape(self.url)

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of a metric over all labels that are not given."""
        wanted = labels.items()
        return sum(
            value for (other, found), value in self.all().items() if other == f"inferq_{name}" and wanted <= found
        )

    def requests(self, outcome: str, model: str = "echo", endpoint: str = CHATS) -> float:
        return self("requests_total", endpoint=endpoint, model=model, outcome=outcome)


def ask(url: str, **more: object) -> int:
    """A chat over a connection of its own."""
    return httpx.post(url + CHATS, json=chat("one two three", **more), timeout=60).status_code


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two gateway processes and a worker of one slot, which echoes 100 tokens a second."""
    with running(tmp_path_factory.mktemp("metrics"), slots=1, echo_rate=100, lease=1) as stack:
        stack.start_gateway(processes=2)
        stack.start_worker()
        yield stack


@pytest.fixture
def numbers(stack: Stack) -> Numbers:
    return Numbers(stack.url)


def risen(before: Samples, after: Samples) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {name: value - before.get(name, 0) for name, value in after.items()}


def test_each_gateway_counts_its_requests_and_all_tell_of_all_jobs(stack: Stack, numbers: Numbers) -> None:
    port = free_port()
    stack._inferq("gateway", gateway_processes=1, port=port)
    other = Numbers(f"http://127.0.0.1:{port}")
    wait_for(lambda: answers(other.url), "the other gateway's answer")
    requests, jobs = numbers.requests("completed"), numbers("jobs_total", outcome="completed")
    with ThreadPoolExecutor(10) as pool:
        statuses = list(pool.map(ask, [stack.url] * 30 + [other.url] * 10))
    assert statuses == [200] * 40
    assert numbers.requests("completed") - requests == 30
    assert other.requests("completed") == 10
    assert numbers("jobs_total", outcome="completed") - jobs == other("jobs_total", outcome="completed") - jobs == 40


def test_a_killed_process_loses_no_counts(stack: Stack, numbers: Numbers) -> None:
    assert ask(stack.url) == 200
    before = numbers.requests("completed")
    old = children(stack.gateway)
    assert len(old) == 2
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(children(stack.gateway) - old) == 2 and answers(stack.url), "the new processes")
    assert numbers.requests("completed") == before
    assert [ask(stack.url) for _ in range(4)] == [200] * 4
    assert numbers.requests("completed") == before + 4


def test_killed_processes_do_not_pile_up_files(empty: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setenv("TMPDIR", str(private))
    gateway = empty.start_gateway(processes=2)
    empty.start_worker()
    numbers = Numbers(empty.url)
    totals = [0.0]
    files = set[str]()
    for _ in range(3):
        assert [ask(empty.url) for _ in range(4)] == [200] * 4
        totals += [numbers.requests("completed"), numbers("time_to_first_token_seconds_count", model="echo")]
        old = children(gateway)
        os.kill(min(old), signal.SIGKILL)
        wait_for(lambda old=old: len(children(gateway) - old) == 1 and answers(empty.url), "the new process")  # type: ignore[misc]  # mypy guesses no type of a default
        totals += [numbers.requests("completed"), numbers("time_to_first_token_seconds_count", model="echo")]
        files |= {path.name for path in private.glob("inferq-*/*.db")}
    assert totals == sorted(totals)
    assert totals[-2:] == [12, 12]
    kinds = ("counter", "gauge_sum", "gauge_mostrecent", "histogram")
    assert files == {f"{kind}_{place}.db" for kind in kinds for place in (0, 1)}


def test_how_requests_end(stack: Stack, numbers: Numbers) -> None:
    http = stack.http()
    before = numbers.all()

    with http.stream("POST", CHATS, json=chat("one two three", stream=True)) as response:
        assert list(response.iter_lines())[-2] == "data: [DONE]"
    assert http.post(CHATS, json=chat("w " * 40_000)).status_code == 400
    assert http.post(CHATS, json=chat("x", temperature=101)).status_code == 400
    with raw_post(stack, CHATS, chat(ENDLESS, stream=True)) as leaving:
        assert leaving.recv(12) == b"HTTP/1.1 200"  # one that leaves before has no job
    wait_for(lambda: numbers.requests("client_gone"), "the client's leaving")
    wait_for(lambda: numbers("jobs_total", outcome="cancelled"), "the cancellation")
    assert http.delete(f"/v1/jobs/{post_later(http, ENDLESS)}").json()["status"] == "cancelled"
    one_more = 1 + sum(value for (_, labels), value in before.items() if ("endpoint", "/v1/jobs/<job_id>") in labels)
    wait_for(lambda: numbers("requests_total", endpoint="/v1/jobs/<job_id>") == one_more, "the count of the answer")

    new = risen(before, numbers.all())
    expected = [
        ("requests_total", {"endpoint": CHATS, "model": "echo", "outcome": "completed"}, 1),
        ("requests_total", {"endpoint": CHATS, "model": "echo", "outcome": "context_length_exceeded"}, 1),
        ("requests_total", {"endpoint": CHATS, "model": "", "outcome": "decimal_above_max_value"}, 1),
        ("requests_total", {"endpoint": CHATS, "model": "echo", "outcome": "client_gone"}, 1),
        ("requests_total", {"endpoint": CHATS, "model": "echo", "outcome": "accepted"}, 1),
        ("requests_total", {"endpoint": "/v1/jobs/<job_id>", "model": "", "outcome": "completed"}, 1),
        ("jobs_total", {"model": "echo", "outcome": "completed"}, 1),
        ("jobs_total", {"model": "echo", "outcome": "context_length_exceeded"}, 1),
        ("jobs_total", {"model": "echo", "outcome": "cancelled"}, 2),
    ]
    for name, labels, count in expected:
        assert new[f"inferq_{name}", frozenset(labels.items())] == count, (name, labels)


def test_what_clients_make_up_becomes_no_label(stack: Stack, numbers: Numbers) -> None:
    http = stack.http()

    def make_up(number: int) -> None:
        http.get(f"/v1/made/up/{number}")
        http.get(f"/v1/jobs/made-up-{number}")
        http.post(CHATS, json=chat("x", model=f"made-up-{number}"))

    make_up(0)
    numbers.all()  # which is counted itself
    before = numbers.all().keys()
    for number in range(1, 10):
        make_up(number)
    assert numbers.all().keys() == before
    assert numbers.requests("model_not_found", model="") == 10


def test_what_can_be_counted_is_told_before_it_happens(empty: Stack) -> None:
    """A counter that appears with 1 has not risen, to Prometheus."""
    empty.start_gateway(processes=1)
    told = Numbers(empty.url).all()
    known = {
        "archive_removed": ("reason", ("expired", "made_room", "swept")),
        "archive_errors": ("work", ("write", "read", "remove", "housekeeping")),
        "archive_answers": ("outcome", ("stored", "refused", "failed")),
        "batch_requests": ("outcome", ("completed", "failed")),
        "loop_errors": ("loop", ("reader", "reconciler", "directory", "sweep", "gauges", "archive", "feeder")),
    }
    for name, (label, values) in known.items():
        for value in values:
            assert told[f"inferq_{name}_total", frozenset({(label, value)})] == 0, (name, value)


def test_tokens_that_were_not_read_again(empty: Stack) -> None:
    empty.start_gateway(processes=1)
    empty.start_worker(echo_read_rate=10_000)
    http, numbers, told = empty.http(), Numbers(empty.url), []
    for _ in range(3):
        usage = http.post(CHATS, json=chat("all of this is asked once more")).json()["usage"]
        told.append(usage["prompt_tokens_details"]["cached_tokens"])
        assert numbers("cached_prompt_tokens_total", model="echo") == sum(told)
    assert told[0] == 0 < told[1]


def test_the_queue_tokens_and_times(stack: Stack, numbers: Numbers) -> None:
    http, echo = stack.http(), frozenset({("model", "echo")})
    assert ask(stack.url) == 200  # what jobs take is known then
    before = numbers.all()
    running = post_later(http, ENDLESS)
    wait_for(lambda: numbers("running_jobs", model="echo") == 1, "the start")
    waiting = [post_later(http, "nobody waits for us", service_tier=tier) for tier in ("default", "flex")]
    assert (numbers("queued_jobs"), numbers("running_jobs"), numbers("slots"), numbers("live_workers")) == (2, 1, 1, 1)
    assert [numbers("queued_jobs", tier=tier) for tier in ("priority", "default", "flex")] == [0, 1, 1]
    assert before["inferq_next_wait_seconds", echo] == 0
    wait_for(lambda: numbers("next_wait_seconds", model="echo") > 0, "an outlook that is fresh")
    http.delete(f"/v1/jobs/{running}")
    wait_for(lambda: [stack.state(job_id) for job_id in waiting] == ["completed"] * 2, "their answers")
    begun = time.monotonic()
    assert ask(stack.url) == 200
    took = time.monotonic() - begun
    measured = "time_per_output_token_seconds_count"  # the last of what is measured, once the answer has been sent
    wait_for(lambda: risen(before, numbers.all())[f"inferq_{measured}", frozenset({("model", "echo")})], "measuring")
    new = risen(before, numbers.all())

    def rise(name: str) -> float:
        return new[f"inferq_{name}", frozenset({("model", "echo")})]

    for tier, least in (("priority", 0), ("default", 0.04), ("flex", 0.03)):
        held = new["inferq_slot_seconds_total", frozenset({("model", "echo"), ("tier", tier)})]
        assert (held >= least) if least else held == 0
    assert rise("prompt_tokens_total") == rise("output_tokens_total") == 4 + 4 + 3
    assert rise("queue_wait_seconds_count") == 4
    assert rise("queue_wait_seconds_sum") >= 2 * 0.04
    assert rise("time_to_first_token_seconds_count") == rise("time_per_output_token_seconds_count") == 1
    assert 0 < rise("time_per_output_token_seconds_sum") < took


def test_lost_workers_and_a_lost_redis(empty: Stack) -> None:
    empty.start_gateway()
    numbers = Numbers(empty.url)
    assert numbers("redis_up") == 1
    worker = empty.start_worker(echo_prefill_ms=60_000)
    job_id = post_later(empty.http(), "Hello")
    wait_for(lambda: empty.state(job_id) == "in_progress", "the start")
    worker.kill()
    wait_for(lambda: numbers("recoveries_total", model="echo") == 1, "the recovery")
    assert (numbers("queued_jobs"), numbers("running_jobs")) == (1, 0)

    empty.valkey.kill()
    empty.valkey.wait()
    assert numbers("redis_up") == 0
    assert numbers.requests("accepted") == 1
    assert not [name for name, _ in numbers.all() if "queued" in name]


def test_a_killed_gateway_leaves_no_counts_to_the_next(
    empty: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setenv("TMPDIR", str(private))
    gateway = empty.start_gateway()
    family = children(gateway)
    for _ in range(3):
        assert empty.http().get("/version").is_success
    assert Numbers(empty.url).requests("completed", model="", endpoint="/version") == 3
    [folder] = private.glob("inferq-*")
    gateway.kill()
    gateway.wait()
    wait_for(lambda: not [pid for pid in family if Path(f"/proc/{pid}").exists()], "the end of its process")
    gateway = empty.start_gateway()
    assert empty.http().get("/version").is_success
    assert Numbers(empty.url).requests("completed", model="", endpoint="/version") == 1
    [other] = private.glob("inferq-*")
    assert other != folder
    gateway.terminate()
    gateway.wait()
    assert not list(private.iterdir())


def test_greenlets_come_and_go_with_connections(stack: Stack, numbers: Numbers) -> None:
    many = 200  # far more than there are without them, some of which end meanwhile
    assert 0 < numbers("gateway_greenlets") < many
    with ExitStack() as open_:
        for _ in range(many):
            open_.enter_context(socket.create_connection(("127.0.0.1", stack.port)))
        wait_for(lambda: numbers("gateway_greenlets") >= many, "their greenlets")
    wait_for(lambda: numbers("gateway_greenlets") < many, "their end")
