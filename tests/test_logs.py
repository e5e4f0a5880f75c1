"""Logs: one event a line, and every line about a request names it."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import pytest

from shared import logs
from shared.card import Card
from shared.codec import encode
from shared.protocol import Accepted, Chat, Event, Message, Sampling, Task
from shared.ticket import Claim
from shared.tickets import Tickets
from tests.calls import CHATS, ENDLESS, LATER, chat, raw_post
from tests.logged import Logged
from tests.stack import Stack
from worker.engines import Engine
from worker.execution import Execution
from worker.quarantine import Quarantine
from worker.runners import RUNNERS

SECRET, KEY = "the quick brown fox", "sk-alice-0123456789"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    keys = {"api_keys": f"alice:{KEY}", "log_format": "json"}
    with closing(Logged(tmp_path_factory.mktemp("logs"), echo_rate=100, slots=1, **keys)) as stack:
        stack.start_gateway()
        stack.start_worker()
        yield stack
    output = stack.log()
    assert "Traceback" not in output
    assert SECRET not in output
    assert KEY not in output
    assert all(line.keys() >= {"time", "level", "logger", "pid", "message"} for line in stack.lines())


def post(stack: Stack, body: dict[str, Any], **headers: str) -> Any:
    return stack.http().post(CHATS, json=body, headers={"Authorization": f"Bearer {KEY}", **headers})


def test_a_request_is_found_by_its_id_in_gateway_and_worker(stack: Logged) -> None:
    answer = post(stack, chat(SECRET))
    names = {
        "request_id": answer.headers["x-request-id"],
        "job_id": answer.json()["id"],
        "model": "echo",
        "outcome": "completed",
    }
    access = stack.line(message="answered", **names)
    assert (access["method"], access["path"], access["status"], access["key"]) == ("POST", CHATS, 200, "alice")
    assert access["ms"] > 30
    job = stack.line(message="job ended", **names)
    assert (job["prompt_tokens"], job["completion_tokens"]) == (4, 4)
    assert 0.03 < job["seconds"] < 60
    assert 0 <= job["wait_ms"] < 60_000
    assert job["pid"] != access["pid"]


def test_a_stream_is_logged_when_it_ends(stack: Logged) -> None:
    gone = raw_post(stack, CHATS, chat(ENDLESS, stream=True), Authorization=f"Bearer {KEY}")
    head = gone.recv(1000).decode()
    gone.close()
    [name] = re.findall(r"(?i)x-request-id: (\S+)", head)
    assert stack.line(message="answered", request_id=name)["outcome"] == "client_gone"
    assert stack.line(message="job ended", request_id=name)["outcome"] == "cancelled"


def test_what_fails_tells_why(stack: Logged) -> None:
    refused = post(stack, chat("x", model="gpt-9"))
    assert stack.line(request_id=refused.headers["x-request-id"])["outcome"] == "model_not_found"
    later = post(stack, chat("w " * 40_000), **LATER)
    failed = stack.line(message="job ended", request_id=later.headers["x-request-id"])
    assert (failed["outcome"], failed["code"]) == ("failed", "context_length_exceeded")
    assert "40001 tokens" in failed["reason"]
    unknown = stack.http().get("/line%0Abreak?key=" + KEY)
    line = stack.line(message="answered", request_id=unknown.headers["x-request-id"])
    assert (line["path"], line["status"], line["outcome"]) == ("/line\nbreak", 401, "invalid_api_key")


def test_gunicorn_speaks_the_same_form(stack: Logged) -> None:
    with socket.create_connection(("127.0.0.1", stack.port)) as connection:
        connection.sendall(b"this is not HTTP\r\n\r\n")
        answer = connection.recv(2000).decode()
    [name] = re.findall(r"x-request-id: (\S+)", answer)
    assert stack.line(request_id=name)["logger"] == "gunicorn.error"


def test_probes_are_not_worth_a_line(stack: Logged) -> None:
    names = [stack.http().get(path).headers["x-request-id"] for path in ("/healthz", "/readyz")]
    after = post(stack, chat("x")).headers["x-request-id"]
    stack.line(message="answered", request_id=after)
    assert not [line for line in stack.lines() if line.get("request_id") in names]


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    yield capsys
    logs.bind()
    root.handlers[:] = before
    root.setLevel(level)


def test_text_is_one_line_and_moves_no_cursor(written: pytest.CaptureFixture[str]) -> None:
    logs.setup("info", "text")
    logs.bind(request_id="req_1", model="my model", job_id="")
    logging.getLogger("a").debug("unseen")
    logging.getLogger("a").info("two\nlines\x1b[2J", extra={"ms": 1.5, "path": 'a"b'})
    [line] = written.readouterr().err.splitlines()
    _, _, text = line.partition("INFO ")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO .*", line)
    assert re.sub(r"\d+\]", "pid]", text, count=1) == (
        r'a[pid] two\nlines\x1b[2J request_id=req_1 model="my model" ms=1.5 path="a\"b"'
    )


def test_json_holds_the_stack_trace(written: pytest.CaptureFixture[str]) -> None:
    logs.setup("warning", "json")
    try:
        raise ValueError("naïve")
    except ValueError:
        logging.getLogger("a").exception("it %s", "failed", extra={"where": Path("x")})
    [line] = map(json.loads, written.readouterr().err.splitlines())
    assert (line["message"], line["level"], line["where"]) == ("it failed", "error", "x")
    assert line["exception"].endswith("ValueError: naïve")


class _Broken:
    """An engine with a fault."""

    card = Card("echo", "echo", "echo", context=1, slots=1, created=1)

    def continues(self, task: Task) -> bool:
        return True

    def run(self, task: Task, execution: object) -> Iterator[Event]:
        raise RuntimeError("a fault of ours")


def test_what_goes_wrong_in_a_slot_is_found_by_the_request(written: pytest.CaptureFixture[str]) -> None:
    logs.setup("info", "json")
    task = Chat("echo", (Message("user", SECRET),), Sampling(seed=1))
    accepted = encode([Accepted(task, created=1, request_id="req_1")])
    execution = Execution("first", Claim("chatcmpl-1", seq=0, tries=1, accepted=accepted, waited=0))
    run = RUNNERS[Chat](cast(Engine, _Broken()), Quarantine(), execution, lambda *_: None, cast(Tickets, None))
    run.enter()
    run.work()
    [line] = map(json.loads, written.readouterr().err.splitlines())
    assert (line["request_id"], line["job_id"], line["model"]) == ("req_1", "chatcmpl-1", "echo")
    assert "a fault of ours" in line["exception"]
