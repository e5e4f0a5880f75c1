"""`inferq status`, and workers whose model does not load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared import registry
from tests.calls import CHATS, COMPLETIONS, ENDLESS, chat, post_later, submit
from tests.commands import environment, inferq
from tests.logged import Logged
from tests.stack import Stack, children, free_port, running, wait_for
from tests.tiny import TINY
from tests.up import up

UNKNOWN = TINY.read_bytes().replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0lxxma", 1)
"""A file whose header is right, and that llama.cpp refuses."""


def start(*options: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "inferq", "status", *options],
        env=environment(**environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(*options: str, **environ: str) -> tuple[int, str, str]:
    done = inferq("status", *options, **environ)
    return done.returncode, done.stdout, done.stderr


def redis_of(stack: Stack) -> dict[str, str]:
    return {"INFERQ_REDIS_URL": str(stack.settings["redis_url"])}


def status(stack: Stack) -> dict[str, Any]:
    code, output, complaint = ended("--json", **redis_of(stack))
    assert (code, complaint) == (0, "")
    shown: dict[str, Any] = json.loads(output)
    return shown


def told(stack: Stack) -> str:
    """What the workers tell of themselves, which `status` takes a second to show."""
    return str(registry.workers(stack.redis))


def replace(file: Path, content: bytes) -> None:
    """Put a new file into the place of one that may be mapped."""
    fresh = file.with_suffix(".new")
    fresh.write_bytes(content)
    fresh.replace(file)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("status"), slots=1, echo_rate=100) as stack:
        stack.start_gateway()
        stack.start_worker()
        yield stack


def test_it_shows_what_goes_on(stack: Stack) -> None:
    http = stack.http()
    assert http.post(CHATS, json=chat("one two")).status_code == 200
    assert http.post(CHATS, json=chat("w " * 40_000)).status_code == 400
    jobs = [post_later(http, ENDLESS * 5) for _ in range(3)]  # two commands are started meanwhile
    wait_for(lambda: stack.state(jobs[0]) == "in_progress", "the start")
    shown = status(stack)
    [model] = shown["models"]
    assert {name: model[name] for name in ("id", "ready_workers", "slots", "running", "queued")} == {
        "id": "echo",
        "ready_workers": 1,
        "slots": 1,
        "running": 1,
        "queued": 2,
    }
    assert (model["completed"], model["failed"], model["completion_tokens"]) == (1, 1, 2)
    [worker] = shown["workers"]
    assert (worker["model"], worker["pid"], worker["slots"], worker["busy"]) == ("echo", stack.worker.pid, 1, 1)
    assert worker["threads"] == int(os.environ["INFERQ_THREADS"])
    assert worker["ready"]
    assert time.time() - 60 < worker["since"] <= time.time()
    [failure] = shown["failures"]
    assert (failure["code"], failure["worker"]) == ("context_length_exceeded", worker["name"])

    code, table, _ = ended(**redis_of(stack))
    assert code == 0
    models, workers, failures = table.split("\n\n")
    assert models.splitlines()[1].split() == ["echo", "1", "1", "1", "2", "1", "0", "1", "0"]
    assert worker["name"] in workers
    assert "1 of 1" in workers
    assert "40001 tokens" in failures
    for job_id in jobs:
        http.delete(f"/v1/jobs/{job_id}")


def test_it_can_be_watched(stack: Stack) -> None:
    watching = start("--watch", "--json", **redis_of(stack))
    assert watching.stdout
    looks = [json.loads(watching.stdout.readline()) for _ in range(2)]
    assert [look["workers"][0]["model"] for look in looks] == ["echo", "echo"]
    watching.send_signal(signal.SIGINT)
    assert watching.communicate(timeout=20) == ("", "")
    assert watching.returncode == 0


def test_when_nothing_runs_it_says_so(tmp_path: Path) -> None:
    url = f"redis://:secret@127.0.0.1:{free_port()}/0"
    code, output, complaint = ended(INFERQ_REDIS_URL=url)
    assert (code, output) == (1, "")
    assert "does not answer" in complaint
    assert "secret" not in complaint
    code, output, complaint = ended("--data-dir", str(tmp_path))
    assert (code, output) == (1, "")
    assert str(tmp_path) in complaint
    assert len(complaint.splitlines()) == 1


def test_a_worker_whose_file_is_no_good_waits_for_a_better_one(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF" + b"\xff" * 60)
    stack = Logged(tmp_path, log_format="json", context=256, threads=1, lease=2)
    try:
        stack.start_gateway()
        worker = stack._inferq("worker", str(file))
        wait_for(lambda: "GGUF version" in told(stack), "the reason", 60)
        answer = stack.http().get("/readyz")
        assert (answer.status_code, answer.json()["unready"]) == (503, ["tiny"])
        assert str(tmp_path) not in answer.text
        [shown] = status(stack)["workers"]
        assert (shown["model"], shown["pid"], shown["ready"]) == ("tiny", worker.pid, False)
        assert f"{file}: " in shown["reason"]
        assert "GGUF version" in shown["reason"]
        assert any(line["level"] == "error" and shown["reason"] in line["message"] for line in stack.lines())
        assert "not ready: " in ended(**redis_of(stack))[1]

        file.write_bytes(TINY.read_bytes())
        wait_for(lambda: stack.http().get("/readyz").status_code == 200, "readiness", 60)
        assert stack.http().get("/readyz").json() == {"status": "ready", "models": ["tiny"], "unready": []}
        body = {"model": "tiny", "prompt": "Once", "max_tokens": 2}
        assert stack.http().post("/v1/completions", json=body).status_code == 200
        assert [w["pid"] for w in status(stack)["workers"]] == [worker.pid]

        # Its engine host dies, and the file is another one meanwhile: it leaves its jobs to others, and ends.
        [host] = children(worker)
        os.kill(host, signal.SIGSTOP)
        later = submit(stack.http(), COMPLETIONS, body)
        wait_for(lambda: stack.state(later) == "in_progress", "its start")
        replace(file, UNKNOWN)
        os.kill(host, signal.SIGKILL)
        assert worker.wait(60) == 1
        assert any("files are others now" in line["message"] for line in stack.lines())
        assert stack.http().get("/readyz").status_code == 503
        assert "files are" not in stack.http().get("/readyz").text
        wait_for(lambda: stack.redis.llen("rq:queue:tiny") == 1, "the job's return to the queue")
        assert stack.state(later) == "queued"
        replace(file, TINY.read_bytes())
        stack._inferq("worker", str(file))
        wait_for(lambda: stack.state(later) == "completed", "the answer", 60)
    finally:
        stack.close()


def test_a_worker_that_is_not_ready_ends_at_once_when_told_to(empty: Stack, tmp_path: Path) -> None:
    worker = empty._inferq("worker", str(tmp_path / "missing.gguf"))
    wait_for(lambda: "no such file" in told(empty), "the worker", 60)
    worker.terminate()
    assert worker.wait(10) == 0
    assert status(empty)["workers"] == []


def test_up_tells_what_it_waits_for(tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(UNKNOWN)
    data = tmp_path / "data"
    with up(data, "echo", str(file), "--port", "0", INFERQ_THREADS="1", INFERQ_CONTEXT="256") as started:
        wait_for(lambda: "not ready yet: tiny: the engine host" in started.log, "the reason", 40)

        def ready() -> list[tuple[str, bool]]:
            code, output, _ = ended("--data-dir", str(data), "--json")
            assert code == 0
            return [(worker["model"], worker["ready"]) for worker in json.loads(output)["workers"]]

        wait_for(lambda: ready() == [("echo", True), ("tiny", False)], "echo, which may be later than the reason")
        file.write_bytes(TINY.read_bytes())
        started.ready()
