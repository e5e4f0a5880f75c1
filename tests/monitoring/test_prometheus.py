"""A real Prometheus beside a real `inferq up echo` with keys: what the dashboard asks, and which alerts fire.

`make monitoring` runs this. The tests go in this order, on one inferq that they hurt more and more.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import pytest
from openai import OpenAI

from tests import batches
from tests.calls import CHATS, ENDLESS, LATER, chat
from tests.monitoring.deployed import ALERTS, PANELS, QUERIES, named, samples
from tests.monitoring.server import STEP, Prometheus, prometheus
from tests.stack import KEYS, free_port, wait_for
from tests.up import Up, up

KEY = "sk-prometheus-0123456789"
CHOSEN = {"$job": "inferq", "$model": ".+", "$__rate_interval": "1m"}


@pytest.fixture(scope="module")
def inferq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    environ = {
        "API_KEYS": f"alice:{KEYS['alice']},prometheus:{KEY} metrics",
        "SLOTS": 2,
        "ECHO_RATE": 100,
        "LEASE": 2,
    }
    environ |= {"ARCHIVE_KEY_THINGS": 10, "PORT": free_port()}
    settings = {f"INFERQ_{name}": str(value) for name, value in environ.items()}
    with up(tmp_path_factory.mktemp("inferq") / "data", "echo", **settings) as started:
        started.ready()
        yield started


@pytest.fixture(scope="module")
def alice(inferq: Up) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {KEYS['alice']}"}
    with httpx.Client(base_url=address(inferq), headers=headers, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def server(inferq: Up, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with prometheus(tmp_path_factory.mktemp("prometheus"), address(inferq).removeprefix("http://"), KEY) as started:
        yield started


def address(inferq: Up) -> str:
    [port] = re.findall(r"listening on http://127\.0\.0\.1:(\d+)", inferq.log)
    return f"http://127.0.0.1:{port}"


def answered(query: str) -> str:
    """The query as Grafana sends it."""
    for variable, value in CHOSEN.items():
        query = query.replace(variable, value)
    return query


def test_the_scraper_needs_its_key(inferq: Up, server: Prometheus) -> None:
    assert httpx.get(f"{address(inferq)}/metrics").status_code == 401
    wait_for(lambda: server.target().get("health") == "up", "the first scrape")
    server.key.write_text("sk-wrong-0123456789")
    wait_for(lambda: ("InferqGatewayDown", "") in server.firing(), "the alert")
    assert "401" in server.target()["lastError"]
    server.key.write_text(KEY)
    wait_for(lambda: server.firing() == set(), "its end")


def test_every_query_of_the_dashboard_has_an_answer(inferq: Up, alice: httpx.Client, server: Prometheus) -> None:
    """All that can happen without a fault of a disk happens."""
    with OpenAI(base_url=f"{address(inferq)}/v1", api_key=KEYS["alice"]) as client:
        lines = [batches.request("good"), batches.request("bad", temperature=9)]
        batches.end(client, batches.begin(client, lines))
    make_traffic(alice)
    os.kill(inferq.child("valkey"), signal.SIGKILL)  # loops fail until its successor has come
    wait_for(lambda: alice.post(CHATS, json=chat("again")).status_code == 200, "the next Redis", 30)
    deadline = time.monotonic() + 15
    while (quiet := silent(server)) and time.monotonic() < deadline:
        time.sleep(STEP)
    assert quiet == []


def test_what_is_scraped_is_what_is_known(server: Prometheus) -> None:
    scraped = {series["metric"]["__name__"] for series in server.ask('{__name__=~"inferq_.*"}')}
    assert scraped <= samples()
    assert named(" ".join([*QUERIES, *(rule["expr"] for rule in ALERTS)])) <= scraped


def test_a_killed_worker_is_told_of(inferq: Up, alice: httpx.Client, server: Prometheus) -> None:
    assert server.firing() & {("InferqJobsRecovered", "echo"), ("InferqNoWorker", "echo")} == set()
    job_id = begin_endless(alice)
    os.kill(inferq.child("worker"), signal.SIGKILL)
    wait_for(lambda: ("InferqJobsRecovered", "echo") in server.firing(), "the alert")
    alice.delete(f"/v1/jobs/{job_id}")


def test_so_is_a_model_that_nobody_serves(inferq: Up, alice: httpx.Client, server: Prometheus) -> None:
    worker = inferq.child("worker")
    os.kill(worker, signal.SIGSTOP)
    try:
        wait_for(lambda: ("InferqNoWorker", "echo") in server.firing(), "the alert", 40)
        assert ("InferqRedisDown", "") not in server.firing()
    finally:
        os.kill(worker, signal.SIGCONT)
    wait_for(lambda: ("InferqNoWorker", "echo") not in server.firing(), "its end", 40)


def test_every_alert_can_be_computed(server: Prometheus) -> None:
    assert {rule["name"]: (rule["health"], rule.get("lastError", "")) for rule in server.rules()} == {
        rule["alert"]: ("ok", "") for rule in ALERTS
    }


def begin_endless(alice: httpx.Client) -> str:
    job_id: str = alice.post(CHATS, json=chat(ENDLESS), headers=LATER).json()["id"]
    wait_for(lambda: alice.get(f"/v1/jobs/{job_id}").json()["status"] == "in_progress", "the start")
    return job_id


def make_traffic(alice: httpx.Client) -> None:
    def ask(number: int) -> int:
        tier = ("default", "flex", "priority")[number % 3]
        return alice.post(CHATS, json=chat("one two three four", service_tier=tier, store=True)).status_code

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(ask, range(24)))
    assert set(codes) <= {200, 403}, codes
    assert alice.post(CHATS, json=chat("w " * 40_000)).status_code == 400
    alice.delete(f"/v1/jobs/{begin_endless(alice)}")


def silent(server: Prometheus) -> list[str]:
    """The queries that should tell something and do not; what they tell has the labels that its legend names."""
    quiet = []
    for panel in PANELS:
        for target in panel["targets"]:
            found = server.ask(answered(target["expr"]))
            if not found:
                quiet.append(target["expr"])
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                assert all(label in series["metric"] for series in found), (target, found)
    return quiet
