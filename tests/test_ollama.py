"""/api/chat and /api/generate, as Ollama's clients ask for them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from tests.calls import ENDLESS, LATER, job, submit
from tests.ollama import CHAT, GENERATE, chat, joined, lines, prompt, refused, said, whole
from tests.stack import Stack, running, wait_for

KEY = "0123456789abcdef01234567"
CALL = '{"name": "look", "arguments": {"at": "the sky"}}'
THOUGHTS = "<think>hm hm</think>Well then"
LOOK = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {"at": {"type": "string"}}}},
}
NANO = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (chat("Hello there"), {"content": "Hello there"}),
        (chat(THOUGHTS, think=True), {"content": "Well then", "thinking": "hm hm"}),
        (chat(THOUGHTS, think="high"), {"content": "Well then", "thinking": "hm hm"}),
        (chat(CALL, tools=[LOOK]), {"tool_calls": ["look", {"at": "the sky"}]}),
        (chat('{"a": 1}', format="json"), {"content": '{"a": 1}'}),
        (chat("a b c d", options={"num_predict": 2}), {"content": "a b", "reason": "length"}),
        (chat("a b stop c", options={"stop": ["stop"]}), {"content": "a b "}),
    ],
)
def test_a_chat_streamed_is_the_one_unstreamed(
    http: httpx.Client, body: dict[str, Any], message: dict[str, Any]
) -> None:
    one, other = whole(http, CHAT, body), joined(lines(http, CHAT, body))
    assert one["done"] is True
    assert one["done_reason"] == other["done_reason"] == message.pop("reason", "stop")
    for told in (one, other):
        assert all(isinstance(told[name], int) for name in NANO)
        assert told["total_duration"] >= told["eval_duration"] > 0
        assert told["eval_duration"] % 10**9
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z", told["created_at"])
        assert told["prompt_eval_count"] > 0
        calls = [call["function"] for call in told["message"].pop("tool_calls", [])]
        assert [part for call in calls for part in (call["name"], call["arguments"])] == message.get("tool_calls", [])
        assert {"content": "", "thinking": "", **told["message"]} == {
            "role": "assistant",
            "content": message.get("content", ""),
            "thinking": message.get("thinking", ""),
        }
    assert one["eval_count"] == other["eval_count"] > 0


def test_a_call_is_told_when_it_is_whole_and_its_result_is_taken(http: httpx.Client) -> None:
    pieces = lines(http, CHAT, chat(CALL, tools=[LOOK]))
    [call] = [call for piece in pieces for call in piece["message"].get("tool_calls", ())]
    assert call["id"].startswith("call_")
    assert call["function"] == {"index": 0, "name": "look", "arguments": {"at": "the sky"}}
    history = [*said(CALL), {"role": "assistant", "tool_calls": [{"function": call["function"]}]}]
    history.append({"role": "tool", "tool_name": "look", "content": "It is blue."})
    told = whole(http, CHAT, {"model": "echo", "messages": history, "tools": [LOOK]})
    assert told["message"]["content"] == "It is blue."
    assert "look" in refused(
        http.post(CHAT, json=chat("a", messages=[{"role": "tool", "tool_name": "look", "content": "a"}])), 400
    )


def test_thoughts_that_nobody_wants_are_told_nowhere(http: httpx.Client) -> None:
    assert "thinking" not in whole(http, CHAT, chat(THOUGHTS, think=False))["message"]
    assert not any("thinking" in piece["message"] for piece in lines(http, CHAT, chat(THOUGHTS, think=False)))


def test_an_answer_that_was_begun_goes_on(http: httpx.Client) -> None:
    begun = [*said("one two three"), {"role": "assistant", "content": "one two"}]
    assert whole(http, CHAT, chat("", messages=begun))["message"]["content"] == " three"


def test_what_was_likely(http: httpx.Client) -> None:
    for path, body in ((CHAT, chat("one two")), (GENERATE, prompt("one two"))):
        body |= {"logprobs": True, "top_logprobs": 2}
        one = whole(http, path, body)["logprobs"]
        assert [each["token"] for each in one] == ["one", " two"]
        assert [len(each["top_logprobs"]) for each in one] == [2, 2]
        assert [each for piece in lines(http, path, body) for each in piece.get("logprobs", ())] == one


@pytest.mark.parametrize(
    ("more", "text"),
    [({}, "a b"), ({"raw": True}, "a b"), ({"suffix": " c"}, None), ({"system": "Be brief."}, "a b")],
)
def test_a_prompt_is_answered(http: httpx.Client, more: dict[str, Any], text: str | None) -> None:
    one, other = whole(http, GENERATE, prompt("a b", **more)), joined(lines(http, GENERATE, prompt("a b", **more)))
    assert one["response"] == other["response"]
    assert text in (None, one["response"])
    assert one.get("context") == other.get("context")
    assert ("context" in one) == (not more.get("raw") and "suffix" not in more)


def test_a_context_brings_back_the_conversation(http: httpx.Client) -> None:
    """The words that the model has read grow by what was said."""
    first = whole(http, GENERATE, prompt("Ünïcode 😀 here", system="Be brief."))
    alone = whole(http, GENERATE, prompt("Go on"))
    again = whole(http, GENERATE, prompt("Go on", context=first["context"]))
    assert again["prompt_eval_count"] > alone["prompt_eval_count"] + 4
    more = whole(http, GENERATE, prompt("Go on", context=again["context"], system="Be long."))
    assert more["prompt_eval_count"] > again["prompt_eval_count"]
    for context in ([1, 2, 3], [-1], [2**70], first["context"][:-1], [first["context"][0]], ["a"]):
        assert "context" in refused(http.post(GENERATE, json=prompt("a", context=context)), 400)
    long = whole(http, GENERATE, prompt("long " * 20_000))
    assert "context" not in long


@pytest.mark.parametrize(
    ("path", "body"),
    [(CHAT, {"messages": []}), (CHAT, {}), (GENERATE, {}), (GENERATE, {"prompt": "", "keep_alive": "5m"})],
)
def test_nothing_said_has_the_model_loaded(http: httpx.Client, path: str, body: dict[str, Any]) -> None:
    body = {"model": "echo", **body}
    assert [whole(http, path, body)["done_reason"], lines(http, path, body)[-1]["done_reason"]] == ["load", "load"]
    assert whole(http, path, {**body, "keep_alive": 0})["done_reason"] == "unload"
    assert "none" in refused(http.post(path, json={**body, "model": "none"}), 404)


def test_the_oldest_turns_make_room(http: httpx.Client) -> None:
    turns = [*said("old " * 20_000), {"role": "assistant", "content": "Yes."}, *said("long " * 20_000)]
    assert whole(http, CHAT, chat("", messages=turns, options={"num_predict": 2}))["prompt_eval_count"] < 25_000
    assert "context" in refused(http.post(CHAT, json=chat("", messages=turns, truncate=False)), 400)


@pytest.mark.parametrize(
    ("path", "more", "words"),
    [
        (CHAT, {"messages": [{"role": "user", "content": "a", "images": ["aGk="]}]}, "messages[0].images"),
        (GENERATE, {"images": ["aGk="]}, "images"),
        (GENERATE, {"template": "{{ .Prompt }}"}, "template"),
        (GENERATE, {"raw": True, "system": "a"}, "system"),
        (GENERATE, {"format": "yaml"}, "format"),
        (CHAT, {"format": {"type": "nothing"}}, "format"),
        (CHAT, {"options": {"temperature": "hot"}}, "options.temperature"),
        (CHAT, {"options": {"num_predict": -3}}, "options.num_predict"),
        (CHAT, {"options": 1}, "options"),
        (CHAT, {"keep_alive": "soon"}, "keep_alive"),
        (CHAT, {"keep_alive": True}, "keep_alive"),
        (CHAT, {"think": 1}, "think"),
        (CHAT, {"top_logprobs": 21}, "top_logprobs"),
        (CHAT, {"messages": [{"role": "nobody", "content": "a"}]}, "messages[0].role"),
        (CHAT, {"model": ""}, "model"),
    ],
)
def test_what_is_wrong_is_named(http: httpx.Client, path: str, more: dict[str, Any], words: str) -> None:
    body = chat("a") if path == CHAT else prompt("a")
    assert words in refused(http.post(path, json={**body, **more}), 400)
    assert whole(http, path, body)["done"]


@pytest.mark.parametrize("keep", [0, -1, 300, 1.5, 10**400, "5m", "1h30m", "-1m", "300ms", "1.5s", "300"])
def test_durations(http: httpx.Client, keep: object) -> None:
    answer = http.post(CHAT, json=chat("a", keep_alive=keep, stream=False))
    assert (answer.json()["message"]["content"], answer.headers["x-inferq-ignored"]) == ("a", "keep_alive")


def test_what_asks_for_nothing_is_told(http: httpx.Client) -> None:
    asked = chat(
        "a b", options={"num_ctx": 4096, "tfs_z": 1, "top_k": 5, "num_predict": 10**9}, shift=True, **{"x\r\ny": 1}
    )
    answer = http.post(CHAT, json=asked)
    told = answer.headers["x-inferq-ignored"].split(", ")
    assert set(told) == {"options.num_ctx", "options.tfs_z", "options.num_predict", "shift", "?"}
    assert "at most 64 keys" in refused(http.post(CHAT, json=chat("a", options={f"o{n}": 1 for n in range(65)})), 400)


def test_later_and_followed(http: httpx.Client) -> None:
    """It is a job as any, told in its own words."""
    number = submit(http, CHAT, chat("one two"))
    wait_for(lambda: job(http, number)["status"] == "completed", "the end")
    assert job(http, number)["result"]["message"]["content"] == "one two"
    events = http.get(f"/v1/jobs/{number}/events").text
    data = [json.loads(line[6:]) for line in events.splitlines() if line.startswith("data: ")]
    assert joined(data)["message"]["content"] == "one two"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway with a key, and a slow worker of one slot."""
    with running(tmp_path_factory.mktemp("locked"), api_keys=f"me:{KEY}", max_queue=2, lease=2) as stack:
        stack.start_gateway()
        yield stack


def test_keys_and_bounds_are_those_of_all(locked: Stack) -> None:
    http = locked.http()
    assert "API key" in refused(http.post(CHAT, json=chat("a")), 401)
    assert "API key" in refused(http.get("/api/tags"), 401)
    http.headers["authorization"] = f"Bearer {KEY}"
    locked.start_worker(echo_rate=20, slots=1)
    held = submit(http, CHAT, chat(ENDLESS))
    full = http.post(CHAT, json=chat("a"), headers=LATER)
    assert "as many as it may have" in refused(full, 429)
    assert int(full.headers["retry-after"]) > 0
    assert http.delete(f"/v1/jobs/{held}").json()["status"] == "cancelled"


def test_a_stream_outlives_its_worker(locked: Stack) -> None:
    http = locked.http()
    http.headers["authorization"] = f"Bearer {KEY}"
    text = " ".join(map(str, range(60)))
    first = locked.worker
    with http.stream("POST", CHAT, json=chat(text)) as answer:
        told = []
        for line in answer.iter_lines():
            told.append(json.loads(line))
            if len(told) == 5:
                first.kill()
                locked.start_worker(echo_rate=100, slots=1)
    assert joined(told)["message"]["content"] == text
