"""While Redis is away the gateway says so, and what ran already is answered whole."""

from __future__ import annotations

import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import openai
import pytest

from tests.calls import CHATS, COMPLETIONS, LATER, chat, completion, post_later, problem, said
from tests.stack import Stack, wait_for


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_an_outage(served: Stack, fault: str) -> None:
    served.start_worker(echo_rate=100)
    http, client = served.http(), served.client()
    text = " ".join(str(number) for number in range(200))
    job_path = http.post(CHATS, json=chat("later"), headers=LATER).headers["location"]
    stream = client.chat.completions.create(model="echo", messages=said(text), stream=True)
    received = [next(stream) for _ in range(10)]
    if fault == "killed":
        served.valkey.kill()
        served.valkey.wait()
    else:
        served.valkey.send_signal(signal.SIGSTOP)

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
        served.start_valkey()
    else:
        served.valkey.send_signal(signal.SIGCONT)
    received += stream
    assert "".join(chunk.choices[0].delta.content or "" for chunk in received) == text
    wait_for(lambda: http.get("/readyz").status_code == 200, "readiness")
    assert http.get(job_path).json()["status"] == "completed"
    assert http.post(CHATS, json=chat("Hello")).json()["choices"][0]["message"]["content"] == "Hello"


def test_what_was_refused_is_not_asked_for_one_by_one(served: Stack) -> None:
    """Each may have arrived after all, and is to be cancelled then: by one who asks until Redis answers."""
    served.start_worker()
    http = served.http()
    assert http.post(CHATS, json=chat("Hello")).status_code == 200
    served.valkey.kill()
    served.valkey.wait()
    with socket.create_server((served.host, served.redis_port)) as impostor, ThreadPoolExecutor(32) as pool:
        calm = calls_in(impostor, 2)
        posts = [pool.submit(http.post, CHATS, json=chat("Hello")) for _ in range(24)]
        during = calls_in(impostor, 1)
        while not all(post.done() for post in posts):
            during += calls_in(impostor, 0.2)
        assert {post.result().status_code for post in posts} == {503}
        assert during > 24
        assert calls_in(impostor, 2) < 2 * calm + 20


def calls_in(server: socket.socket, seconds: float) -> int:
    """How many connect within so many seconds, none of whom is answered."""
    count, end = 0, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        server.settimeout(left)
        with suppress(TimeoutError):
            server.accept()[0].close()
            count += 1
    return count


def test_out_of_memory_refuses_new_requests_and_lets_running_ones_finish(served: Stack) -> None:
    served.start_worker(echo_rate=50)
    http, client = served.http(), served.client()
    text = " ".join(str(number) for number in range(100))
    stream = client.chat.completions.create(model="echo", messages=said(text), stream=True)
    received = [next(stream) for _ in range(3)]
    served.redis.config_set("maxmemory", "1")
    assert problem(http.post(CHATS, json=chat("Hello")), 503)["code"] == "memory_full"
    received += stream
    assert "".join(chunk.choices[0].delta.content or "" for chunk in received) == text
    served.redis.config_set("maxmemory", "0")
    wait_for(lambda: http.post(CHATS, json=chat("Hello")).status_code == 200, "that somebody has seen it")


def test_an_outage_that_outlasts_a_short_lease_re_runs_nothing(served: Stack) -> None:
    served.start_worker(echo_rate=20)
    http = served.http()
    jobs = [post_later(http, "and on " * 60) for _ in range(4)]
    wait_for(lambda: all(served.events(job_id) > 3 for job_id in jobs), "text of each")
    for _ in range(2):
        served.valkey.send_signal(signal.SIGSTOP)
        time.sleep(2.2)
        served.valkey.send_signal(signal.SIGCONT)
        time.sleep(1)
    wait_for(lambda: all(served.state(job_id) == "completed" for job_id in jobs), "their ends", 60)
    assert [served.redis.hget(f"iq:job:{job_id}", "tries") for job_id in jobs] == [b"1"] * 4
