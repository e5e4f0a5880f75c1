"""Log probabilities of a real model's answers, through everything: none is missing, whatever the answer is like."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.calls import CHATS, COMPLETIONS, data, said, submit
from tests.stack import Stack, wait_for

EMOJI = "Repeat: 😀😂🤣😃 日本語 😀😂🤣😃 日本語 😀😂🤣😃 日本語"
USED = {"stream_options": {"include_usage": True}}
BODY: dict[str, Any] = {"model": "smollm2", "temperature": 0, "max_tokens": 24}
PARIS = {**BODY, "messages": said("What is the capital city of France? Answer in one word.")}
WORD = {"type": "object", "properties": {"w": {"type": "string", "pattern": "^[🙂😀]{2}$"}}, "required": ["w"]}
TOOL = {"type": "function", "function": {"name": "tell", "parameters": WORD}}
CHATTED: dict[str, dict[str, Any]] = {
    "ends by itself": PARIS,
    "is cut": {**PARIS, "messages": said("Tell a story."), "max_tokens": 5},
    "has parts of characters": {**BODY, "messages": said(EMOJI)},
    "meets a stop string": {**PARIS, "messages": said("Count from one to ten."), "stop": [" t", "\n"]},
    "has tokens at least": {**PARIS, "min_tokens": 12},
    "is of a grammar": {**PARIS, "structured_outputs": {"regex": "[🙂😀]{2} [🙂😀]"}},
}


def check(entries: list[dict[str, Any]], count: int, top: int) -> bytes:
    """The text of the entries, of which there have to be so many."""
    assert len(entries) == count
    for entry in entries:
        likelihoods = [other["logprob"] for other in entry["top_logprobs"]]
        assert len(likelihoods) == top
        assert likelihoods == sorted(likelihoods, reverse=True)
        assert -60 < entry["logprob"] <= 0
    return b"".join(bytes(entry["bytes"]) for entry in entries)


@pytest.mark.parametrize("kind", CHATTED)
def test_chats_tell_every_token_whole_streamed_and_later(smollm2: Stack, kind: str) -> None:
    http = smollm2.http()
    body = {**CHATTED[kind], "logprobs": True, "top_logprobs": 2}
    without = http.post(CHATS, json=CHATTED[kind]).json()
    whole = http.post(CHATS, json=body).json()
    choice = whole["choices"][0]
    assert choice["message"]["content"] == without["choices"][0]["message"]["content"]
    assert choice["finish_reason"] == without["choices"][0]["finish_reason"]
    assert whole["usage"]["completion_tokens"] == without["usage"]["completion_tokens"]
    entries = choice["logprobs"]["content"]
    spelled = check(entries, whole["usage"]["completion_tokens"], 2).decode(errors="replace")
    assert spelled.startswith(choice["message"]["content"].removesuffix("�"))
    with http.stream("POST", CHATS, json={**body, "stream": True}) as response:
        chunks = [chunk for chunk in data(response.iter_lines()) if chunk != "[DONE]"]
    streamed = [e for c in chunks for e in (c["choices"][0]["logprobs"] or {"content": []})["content"]]
    job = submit(http, CHATS, body)
    wait_for(lambda: smollm2.state(job) == "completed", "its end")
    later = http.get(f"/v1/jobs/{job}").json()["result"]["choices"][0]["logprobs"]["content"]
    for again in (streamed, later):
        assert [entry["bytes"] for entry in again] == [entry["bytes"] for entry in entries]
        # The prompt need not be read again, which changes the last bits of quantised sums.
        assert [e["logprob"] for e in again] == pytest.approx([e["logprob"] for e in entries], abs=0.2)


def test_calls_tell_every_token(smollm2: Stack) -> None:
    more = {"tools": [TOOL], "tool_choice": "required", "logprobs": True, "top_logprobs": 1, "max_tokens": 60}
    answer = smollm2.http().post(CHATS, json={**PARIS, **more, "parallel_tool_calls": False}).json()
    [call] = answer["choices"][0]["message"]["tool_calls"]
    assert len(json.loads(call["function"]["arguments"])["w"]) == 2
    told = check(answer["choices"][0]["logprobs"]["content"], answer["usage"]["completion_tokens"], 1)
    assert call["function"]["arguments"] in told.decode()


def test_completions_tell_every_token_of_the_best(smollm2: Stack) -> None:
    http = smollm2.http()
    body = {**BODY, "prompt": EMOJI, "temperature": 1, "seed": 4, "max_tokens": 8, "best_of": 3, "logprobs": 2}
    answer = http.post(COMPLETIONS, json=body).json()
    logprobs = answer["choices"][0]["logprobs"]
    assert answer["usage"]["completion_tokens"] == 3 * 8 > 8 >= len(logprobs["tokens"]) > 0
    assert {len(column) for column in logprobs.values()} == {len(logprobs["tokens"])}
    best = http.post(COMPLETIONS, json={**body, "logprobs": None}).json()
    assert best["choices"][0]["logprobs"] is None


def test_a_killed_worker_costs_none(served: Stack, smollm2_path: Path) -> None:
    """Those of the past are in the record; the next worker tells the rest."""
    victim = served.start_worker(str(smollm2_path), slots=1)
    [model] = served.http().get("/v1/models").json()["data"]
    body = {**PARIS, "model": model["id"], "messages": said(EMOJI), "max_tokens": 60, "logprobs": True}
    with served.http().stream("POST", CHATS, json={**body, "stream": True, **USED}) as response:
        lines = data(response.iter_lines())
        chunks = [next(lines) for _ in range(6)]
        victim.kill()
        served.start_worker(str(smollm2_path), slots=1)
        chunks += [chunk for chunk in lines if chunk != "[DONE]"]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    told = [entry for choice in choices for entry in (choice["logprobs"] or {"content": []})["content"]]
    spelled = check(told, chunks[-1]["usage"]["completion_tokens"], 0).decode(errors="replace")
    assert spelled.startswith("".join(choice["delta"].get("content") or "" for choice in choices).removesuffix("�"))
    assert len(told) == 60 or choices[-1]["finish_reason"] == "stop"
