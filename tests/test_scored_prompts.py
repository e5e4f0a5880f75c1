"""Prompts that are scored, through the whole path: once for all choices, beside answers, and although a host dies."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.calls import CHATS, COMPLETIONS, data
from tests.stack import Process, Stack, children, running, wait_for
from tests.tiny import roomy

LONG = [5 + i % 400 for i in range(1500)]
ECHO: dict[str, Any] = {"model": "roomy", "echo": True, "logprobs": 1, "max_tokens": 0}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("scored")
    with running(folder, batch_size=8) as stack:
        stack.start_gateway()
        stack.start_worker(str(roomy(folder)), slots=2)
        yield stack


def worker(stack: Stack) -> Process:
    return stack.children[-1]


def told(http: httpx.Client, **body: Any) -> dict[str, Any]:
    response = http.post(COMPLETIONS, json={**ECHO, **body})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def scoring(stack: Stack) -> list[int]:
    """The scoring host's pid, if there is one."""
    return [pid for pid in children(worker(stack)) if b"scoring" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_each_choice_tells_its_prompt_and_each_prompt_is_read_by_one_host(stack: Stack) -> None:
    http = stack.http()
    prompts = [LONG[:40], LONG[40:41], "def main 🙂"]
    answer = told(http, prompt=prompts, n=2, best_of=3, max_tokens=4, prompt_logprobs=2, seed=3)
    choices = answer["choices"]
    assert len(choices) == 6
    for one, two in zip(choices[::2], choices[1::2], strict=True):
        assert one["prompt_logprobs"] == two["prompt_logprobs"]
        count = len(one["prompt_logprobs"])
        for choice in (one, two):
            assert len(choice["logprobs"]["tokens"]) == count + 4
            assert choice["logprobs"]["token_logprobs"][:count] == [
                entry and next(iter(entry.values()))["logprob"] for entry in one["prompt_logprobs"]
            ]
    alone = told(http, prompt=prompts[0])
    assert alone["usage"]["completion_tokens"] == 0
    assert alone["choices"][0]["logprobs"]["token_logprobs"] == choices[0]["logprobs"]["token_logprobs"][:40]
    assert len(scoring(stack)) == 1


def test_a_long_prompt_is_told_in_pieces_and_the_same(stack: Stack) -> None:
    http = stack.http()
    whole = told(http, prompt=LONG)["choices"][0]["logprobs"]
    with http.stream("POST", COMPLETIONS, json={**ECHO, "prompt": LONG, "stream": True}) as response:
        *chunks, _ = data(response.iter_lines())
    pieces = [chunk["choices"][0]["logprobs"] for chunk in chunks if chunk["choices"][0]["logprobs"]]
    assert len(pieces) >= len(LONG) * 2 // 1024
    assert [value for piece in pieces for value in piece["token_logprobs"]] == whole["token_logprobs"]
    assert len(whole["token_logprobs"]) == len(LONG)


def test_a_killed_scoring_host_costs_no_answer(stack: Stack) -> None:
    """Neither what it scored nor what is answered beside."""
    http = stack.http()
    truth = told(http, prompt=LONG)
    [victim] = scoring(stack)
    found: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: found.append(told(http, prompt=LONG)))
    body = {"model": "roomy", "prompt": [5, 6, 7], "max_tokens": 200, "ignore_eos": True, "stream": True}
    with stack.http().stream("POST", COMPLETIONS, json=body) as response:
        lines = data(response.iter_lines())
        next(lines)
        asking.start()
        wait_for(lambda: _busy(victim), "its work", 30)
        os.kill(victim, signal.SIGKILL)
        *_, last, done = lines
    asking.join(60)
    assert done == "[DONE]"
    assert last["choices"][0]["finish_reason"] == "length"
    assert found[0]["choices"] == truth["choices"]
    assert victim not in scoring(stack)


def _busy(pid: int) -> bool:
    """Whether a process is computing this moment."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"


def test_chats_with_tools_are_refused_clearly(stack: Stack) -> None:
    tool = {"type": "function", "function": {"name": "look"}}
    said = [{"role": "user", "content": "hi"}]
    body = {"model": "roomy", "messages": said, "tools": [tool], "prompt_logprobs": 1, "max_tokens": 2}
    refused = stack.http().post(CHATS, json=body)
    assert refused.status_code == 400, refused.text
    assert refused.json()["error"]["param"] == "prompt_logprobs"


def test_a_prompt_is_not_told_twice_when_its_worker_dies_before_the_answer(served: Stack) -> None:
    victim = served.start_worker(echo_prefill_ms=600_000)
    text = " ".join(map(str, range(1200)))
    body = {"model": "echo", "prompt": text, "echo": True, "logprobs": 2, "max_tokens": 3}
    http = served.http()
    with http.stream("POST", COMPLETIONS, json={**body, "stream": True}) as response:
        lines = data(response.iter_lines())
        chunks = [next(lines) for _ in range(4)]  # of 341 tokens each: all of the prompt
        victim.kill()
        served.start_worker()
        chunks += [chunk for chunk in lines if chunk != "[DONE]"]
    [choice] = http.post(COMPLETIONS, json=body).json()["choices"]
    parts = [chunk["choices"][0] for chunk in chunks]
    assert "".join(part["text"] for part in parts) == choice["text"]
    found = [token for part in parts if part["logprobs"] for token in part["logprobs"]["tokens"]]
    assert found == choice["logprobs"]["tokens"]
    assert len(found) == 1203
