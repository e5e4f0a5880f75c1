"""`inferq bench`: what servers are measured to do, of inferq's own and of others."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from inferq.bench.answers import understand
from inferq.errors import GatewayError
from tests.commands import environment, inferq
from tests.foreign import MODEL, Foreign, serving
from tests.stack import Stack, free_port, wait_for

WARM_UPS = 2
"""Requests of one length of prompts that are not counted."""


class Serve(Protocol):
    def __call__(self, **faults: Any) -> Foreign: ...


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as closing:
        yield lambda **faults: closing.enter_context(serving(Foreign(**faults)))


def measured(*arguments: str, status: int = 0) -> dict[str, Any]:
    done = inferq("bench", *arguments, "--json")
    assert done.returncode == status, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_gateway_is_measured(stack: Stack) -> None:
    found = measured(stack.url, "--clients", "1,3", "--prompt-tokens", "40,90", "--tokens", "24", "--rounds", "2")
    results = {(each["prompt_tokens"], each["clients"]): each for each in found["results"]}
    assert list(results) == [(40, 1), (40, 3), (90, 1), (90, 3)]
    for (prompt, _), each in results.items():
        assert each["tokens_counted_by"] == ["usage"]
        assert each["failures"] == []
        assert each["read"]["prompt_tokens"] == pytest.approx(prompt, abs=1)
        first, slowest = each["first_token"], each["slowest_first_token"]
        assert 0 < first["least"] <= first["median"] <= first["most"]
        assert slowest["most"] >= first["most"]
        assert each["tokens_per_second_together"]["median"] > 0
    assert found["servers"][0]["model"] == "echo"
    assert found["servers"][0]["path"] == "/chat/completions"


def test_a_model_is_served_while_it_is_measured() -> None:
    found = measured("echo", "--clients", "1", "--tokens", "4", "--rounds", "1", "--prompt-tokens", "8")
    (server,) = found["servers"]
    assert (server["name"], server["model"], found["failed"]) == ("echo", "echo", 0)


def test_a_foreign_server_is_asked_for_what_it_takes(serve: Serve) -> None:
    foreign = serve(path="/v1/completions", line_end="\r\n")
    found = measured(foreign.url + "/v1/", "--clients", "2", "--tokens", "10", "--rounds", "1")
    (each,) = found["results"]
    assert found["servers"][0]["path"] == "/completions"
    assert found["servers"][0]["model"] == MODEL
    assert each["tokens_counted_by"] == ["chunks"]
    assert each["read"] == {"prompt_tokens": None, "cached": None}
    assert [body["max_tokens"] for body in foreign.asked] == [16] * WARM_UPS + [10] * 2


def frame(text: str = "", **more: object) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": {"content": text}}], **more}).encode() + b"\r\n\r\n"


def test_times_are_those_of_whole_pieces_of_text() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 3}}
    one, two, last = frame("one"), frame(" two"), frame(usage=usage, system_fingerprint="b7")
    arrivals = [
        (0.5, frame() + one[:20]),
        (1.0, one[20:-3]),  # its first end of a line is cut in two
        (1.5, one[-3:] + two),
        (2.5, frame(" three") + frame(" four")),
        (3.5, last + b"data: [DONE]"),
    ]
    found = understand(arrivals)
    assert found.times == (1.5, 1.5, 2.5, 2.5)
    assert found.gaps == [0, 1, 0]
    assert (found.ended, found.tokens, found.counted, found.rate) == (3.5, 7, "usage", 6)
    assert (found.prompt_tokens, found.cached_tokens, found.build) == (9, 3, "b7")
    assert understand([*arrivals[:4], (4.0, b"data: [DONE]\n\n")]).counted == "chunks"


@pytest.mark.parametrize(
    "data", [b"", b"data: [DONE]\n\n", frame("one"), b"data: {\n\n", b'data: {"choices": [1]}\n\n']
)
def test_what_is_no_whole_answer_is_told(data: bytes) -> None:
    with pytest.raises(GatewayError):
        understand([(1.0, data)])


def test_prompts_begin_alike_only_where_that_is_asked(serve: Serve) -> None:
    fresh, alike = serve(), serve()
    measured(fresh.url, "--clients", "4", "--tokens", "3", "--rounds", "2", "--prompt-tokens", "60")
    measured(alike.url, "--clients", "4", "--tokens", "3", "--rounds", "2", "--prompt-tokens", "60", "--cached")
    assert len({prompt[:30] for prompt in fresh.prompts}) == WARM_UPS + 8
    counted = alike.prompts[WARM_UPS:]
    assert len({prompt[:150] for prompt in counted}) == 1, "the cache has read it before, for a prompt like these"
    assert len(set(counted)) == 9


def test_two_servers_take_turns(serve: Serve) -> None:
    order: list[str] = []
    slow = serve(name="slow", order=order, pause=0.02, first_pause=0.3)
    quick = serve(name="quick", order=order)
    arguments = ("--clients", "1", "--tokens", "6", "--rounds", "4", "--model", MODEL)
    found = measured(slow.url, quick.url, *arguments)
    assert order[2 * WARM_UPS :] == ["slow", "quick", "quick", "slow"] * 2
    first, second = found["results"]
    assert "ratio_to_first" not in first
    pairs = second["ratio_to_first"]["first_token"]
    assert pairs["least"] <= pairs["median"] < 1
    table = inferq("bench", slow.url, quick.url, *arguments, "--rounds", "1", "--markdown").stdout
    assert "| first token | 1 | " in table
    assert "|  | 2/1 | " in table


def test_nobody_is_there() -> None:
    done = inferq("bench", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert done.stderr.endswith("; is it up, and is that its address?\n")


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        ({"status": 429}, "429: not so many at once"),
        ({"fault": "cut"}, "the stream was cut after 4 pieces of text"),
        ({"fault": "error"}, "the engine has overheated"),
        ({"fault": "whole"}, "it does not stream: it answers with application/json, whole"),
    ],
)
def test_failures_are_told_and_counted(serve: Serve, faults: dict[str, Any], told: str) -> None:
    foreign = serve(**faults, sound=WARM_UPS + 3)
    done = inferq("bench", foreign.url, "--clients", "2", "--tokens", "8", "--rounds", "2")
    assert done.returncode == 1
    assert f"1 failed: {told}" in done.stdout
    assert "1 of 4" in done.stdout
    assert "first token " in done.stdout


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        ({"status": 401}, "401: not so many at once"),
        ({"fault": "whole"}, "it does not stream"),
        ({"known": ("model",)}, "400: unknown: "),
        ({"path": "/v1/embeddings"}, "404: there is nothing here"),
    ],
)
def test_what_cannot_be_measured_at_all_ends_at_once(serve: Serve, faults: dict[str, Any], told: str) -> None:
    foreign = serve(**faults)
    done = inferq("bench", foreign.url)
    assert done.returncode == 1
    assert done.stderr.startswith(f"inferq: {foreign.url}: {told}")
    assert not done.stdout


def test_nobody_there_is_told() -> None:
    done = inferq("bench", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "connect" in done.stderr.lower()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("ftp://here",), "URL: 'ftp://here' is no address"),
        (("http://a", "http://b", "http://c"), "At most 2 servers"),
        (("http://a", "--clients", "0,4"), "each is a number from 1 to 256"),
        (("http://a", "--slots", "2"), "--slots: a server that runs has loaded its model"),
        (("http://a", "--key", "k", "--key", "l"), "--key: give it once, or once for each URL"),
    ],
)
def test_wrong_words_are_refused(arguments: tuple[str, ...], told: str) -> None:
    done = inferq("bench", *arguments)
    assert done.returncode == 2
    assert told in done.stderr


def test_an_interrupted_bench_shows_what_it_has(serve: Serve) -> None:
    foreign = serve(pause=0.01)
    command = [sys.executable, "-P", "-m", "inferq", "bench", foreign.url, "--rounds", "999", "--tokens", "8"]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: len(foreign.asked) > WARM_UPS + 1, "the second burst", 60)
    process.send_signal(signal.SIGINT)
    told, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert "first token " in told
    assert "bursts were not begun any more" in told
    assert "Traceback" not in errors


def test_nothing_is_begun_after_its_time(serve: Serve) -> None:
    foreign = serve(first_pause=0.6)
    found = measured(foreign.url, "--clients", "1", "--tokens", "3", "--rounds", "50", "--seconds", "1")
    assert WARM_UPS < len(foreign.asked) <= WARM_UPS + 2
    assert found["results"][0]["failures"] == []
