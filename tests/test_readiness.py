"""/readyz and other answers to strangers: what is wrong is a word; paths, addresses and logs are for operators."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import httpx2 as httpx

from shared import registry
from tests.calls import problem
from tests.stack import Stack, running, wait_for

KEY = "0123456789abcdef01234567"


def readiness(http: httpx.Client, **headers: str) -> tuple[int, dict[str, object]]:
    answer = http.get("/readyz", headers=headers)
    return answer.status_code, answer.json()


def test_says_why_not_in_a_word(tmp_path: Path) -> None:
    secret = tmp_path / "secret-folder"
    secret.mkdir()
    (secret / "spoiled.gguf").write_bytes(b"GGUF" + b"\xff" * 60)
    mine = {"Authorization": f"Bearer {KEY}"}
    with running(tmp_path, api_keys=f"me:{KEY}", threads=1, lease=2) as stack:
        stack.start_gateway()
        http = stack.http()
        known: dict[str, list[str]] = {"models": [], "unready": []}
        assert readiness(http, **mine) == (503, {"status": "unready", "reason": "no_worker", **known})
        stack._inferq("worker", str(secret / "spoiled.gguf"))
        wait_for(lambda: [w for w in registry.workers(stack.redis) if "GGUF version" in w.detail], "the reason", 60)
        known["unready"] = ["spoiled"]
        assert readiness(http, **mine) == (503, {"status": "unready", "reason": "no_model_loaded", **known})
        stack.start_worker()
        known["models"] = ["echo"]
        assert readiness(http, **mine) == (200, {"status": "ready", **known})
        for stranger in ({}, {"Authorization": "Bearer wrong"}):
            assert readiness(http, **stranger) == (200, {"status": "ready"})

        stack.valkey.send_signal(signal.SIGKILL)
        stack.valkey.wait()
        wait_for(lambda: readiness(http) == (503, {"status": "unready", "reason": "redis_unavailable"}), "the outage")
        told = [http.request(method, path, headers=mine).text for method, path in QUESTIONS]
        assert len(told) == len(QUESTIONS)
        for text in (*told, http.get("/metrics", headers=mine).text):
            assert not [word for word in (str(stack.redis_port), str(tmp_path), "secret-folder") if word in text], text


QUESTIONS = (
    ("GET", "/readyz"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/echo"),
    ("GET", "/v1/jobs/x"),
    ("GET", "/v1/jobs/x/events"),
    ("DELETE", "/v1/jobs/x"),
    ("GET", "/api/chat?prompt=x"),
)


def test_other_leases_are_not_told_to_clients(empty: Stack) -> None:
    """One Redis, two gateways: the second's settings do not fit, and its clients need not know which."""
    empty.start_gateway()
    empty.start_worker()
    http = empty.http()
    empty.redis.set("iq:lease", 7000)
    answer = wait_for(lambda: (said := ask(http)).status_code == 503 and said, "the refusal", 40)
    assert "LEASE" not in problem(answer, 503)["message"]


def ask(http: httpx.Client) -> httpx.Response:
    body = {"model": "echo", "messages": [{"role": "user", "content": "x"}]}
    return http.post("/v1/chat/completions", content=json.dumps(body), headers={"Content-Type": "application/json"})
