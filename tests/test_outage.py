"""While Redis is away the gateway says so, and what ran already is answered whole."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

from tests.calls import CHATS, COMPLETIONS, LATER, chat, completion, post_later, problem, said
from tests.stack import Stack, wait_for


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_an_outage(empty: Stack, fault: str) -> None:
    empty.start_gateway()
    empty.start_worker(echo_rate=100)
    http, client = empty.http(), empty.client()
    text = " ".join(str(number) for number in range(200))
    job_path = http.post(CHATS, json=chat("later"), headers=LATER).headers["location"]
    stream = client.chat.completions.create(model="echo", messages=said(text), stream=True)
    received = [next(stream) for _ in range(10)]
    if fault == "killed":
        empty.valkey.kill()
        empty.valkey.wait()
    else:
        empty.valkey.send_signal(signal.SIGSTOP)

    requests = [
        http.build_request("POST", CHATS, json=chat("Hello")),
        http.build_request("POST", CHATS, json=chat("Hello", stream=True)),
        http.build_request("POST", COMPLETIONS, json=completion("Hello"), headers=LATER),
        http.build_request("GET", job_path),
        http.build_request("DELETE", job_path),
        http.build_request("GET", "/v1/models"),
    ]
    with ThreadPoolExecutor(8) as pool:
        ready = pool.submit(http.get, "/readyz")
        refused = pool.submit(client.chat.completions.create, model="echo", messages=said("Hello"))
        for response in pool.map(http.send, requests):
            assert problem(response, 503)["code"] == "store_unavailable"
            assert 0 < int(response.headers["retry-after"]) <= 120
        with pytest.raises(openai.InternalServerError):
            refused.result()
        assert ready.result().status_code == 503
        assert ready.result().json()["status"] == "unready"
    assert http.get("/healthz").status_code == 200

    if fault == "killed":
        empty.start_valkey()
    else:
        empty.valkey.send_signal(signal.SIGCONT)
    received += stream
    assert "".join(chunk.choices[0].delta.content or "" for chunk in received) == text
    wait_for(lambda: http.get("/readyz").status_code == 200, "readiness")
    assert http.get(job_path).json()["status"] == "completed"
    assert http.post(CHATS, json=chat("Hello")).json()["choices"][0]["message"]["content"] == "Hello"


def test_out_of_memory_refuses_new_requests_and_lets_running_ones_finish(empty: Stack) -> None:
    empty.start_gateway()
    empty.start_worker(echo_rate=50)
    http, client = empty.http(), empty.client()
    text = " ".join(str(number) for number in range(100))
    stream = client.chat.completions.create(model="echo", messages=said(text), stream=True)
    received = [next(stream) for _ in range(3)]
    empty.redis.config_set("maxmemory", "1")
    assert problem(http.post(CHATS, json=chat("Hello")), 503)["code"] == "memory_full"
    received += stream
    assert "".join(chunk.choices[0].delta.content or "" for chunk in received) == text
    empty.redis.config_set("maxmemory", "0")
    wait_for(lambda: http.post(CHATS, json=chat("Hello")).status_code == 200, "that somebody has seen it")


def test_an_outage_that_outlasts_a_short_lease_re_runs_nothing(empty: Stack) -> None:
    empty.start_gateway()
    empty.start_worker(echo_rate=20)
    http = empty.http()
    jobs = [post_later(http, "and on " * 60) for _ in range(4)]
    wait_for(lambda: all(empty.events(job_id) > 3 for job_id in jobs), "text of each")
    for _ in range(2):
        empty.valkey.send_signal(signal.SIGSTOP)
        time.sleep(2.2)
        empty.valkey.send_signal(signal.SIGCONT)
        time.sleep(1)
    wait_for(lambda: all(empty.state(job_id) == "completed" for job_id in jobs), "their ends", 60)
    assert [empty.redis.hget(f"iq:job:{job_id}", "tries") for job_id in jobs] == [b"1"] * 4
