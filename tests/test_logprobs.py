"""Log probabilities: what requests may ask for, and what answers tell, whole, streamed and followed."""

from __future__ import annotations

import json
from typing import Any

import httpx2 as httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import OpenAI
from openai.types.chat import ChatCompletion

from gateway.schemas.chat import ChatFormat
from shared.config import Config
from shared.protocol import Completion, FineCompletion
from tests.calls import CHATS, COMPLETIONS, chat, completion, data, job, problem, said
from tests.parsing import COMPLETION, refused, refused_chat
from tests.parsing import chat as parsed
from tests.parsing import completion as parsed_text
from tests.stack import Stack
from tests.told_logprobs import told

TOOL = {"type": "function", "function": {"name": "look"}}
TOP = {"logprobs": True, "top_logprobs": 3}


def asked(task: Any) -> tuple[int | None, int | None]:
    return task.sampling.logprobs, task.sampling.prompt_logprobs


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (None, None)),
        ({"logprobs": False, "top_logprobs": 0, "n_probs": 0, "prompt_logprobs": None}, (None, None)),
        ({"top_logprobs": 0}, (None, None)),
        ({"logprobs": True}, (0, None)),
        (TOP, (3, None)),
        ({"n_probs": 3}, (3, None)),
        ({"n_probs": 3, **TOP}, (3, None)),
        ({"n_probs": 3, "logprobs": True}, (3, None)),
        ({"prompt_logprobs": 0}, (None, 0)),
        ({"prompt_logprobs": 20, "max_tokens": 0}, (None, 20)),
        ({"tools": [TOOL], **TOP}, (3, None)),
    ],
)
def test_what_a_chat_may_ask_for(given: dict[str, Any], expected: tuple[int | None, int | None]) -> None:
    assert asked(parsed(**given)[0]) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"logprobs": False, "echo": False, "n_probs": 0}, (None, None)),
        ({"logprobs": 0}, (0, None)),
        ({"logprobs": True}, (0, None)),
        ({"logprobs": 20}, (20, None)),
        ({"n_probs": 2, "logprobs": 2}, (2, None)),
        ({"logprobs": 2, "echo": True, "max_tokens": 0}, (2, 2)),
        ({"echo": True, "stream": True}, (None, None)),
        ({"logprobs": 2, "prompt_logprobs": 5, "echo": True}, (2, 5)),
        ({"logprobs": 5, "prompt_logprobs": 2, "echo": True}, (5, 5)),
    ],
)
def test_what_a_completion_may_ask_for(given: dict[str, Any], expected: tuple[int | None, int | None]) -> None:
    task, options = parsed_text(**given)
    assert asked(task) == expected
    assert type(task) is (FineCompletion if given.get("echo") else Completion)
    assert options.prompt_logprobs == given.get("prompt_logprobs")


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"top_logprobs": 2}, "top_logprobs", "invalid_value"),
        ({"top_logprobs": 2, "logprobs": False}, "top_logprobs", "invalid_value"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs", "integer_above_max_value"),
        ({"logprobs": 1}, "logprobs", "invalid_type"),
        ({"n_probs": 2, "logprobs": False}, "n_probs", "invalid_value"),
        ({"n_probs": 2, **TOP}, "n_probs", "invalid_value"),
        ({"n_probs": 21}, "n_probs", "integer_above_max_value"),
        ({"prompt_logprobs": -1}, "prompt_logprobs", "integer_below_min_value"),
        ({"prompt_logprobs": 0, "stream": True}, "prompt_logprobs", "unsupported_value"),
        ({"echo": True}, "echo", "unsupported_value"),
        ({"return_tokens_as_token_ids": 1}, "return_tokens_as_token_ids", "invalid_type"),
        ({"max_completion_tokens": 0}, "max_completion_tokens", "integer_below_min_value"),
        ({"n_predict": 0}, "n_predict", "integer_below_min_value"),
        ({"tools": [TOOL], "stream": True, **TOP}, "logprobs", "unsupported_value"),
    ],
)
def test_what_is_refused(given: dict[str, Any], param: str, code: str) -> None:
    assert refused_chat(**given) == (param, code)


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"logprobs": 21}, "logprobs", "integer_above_max_value"),
        ({"logprobs": -1}, "logprobs", "integer_below_min_value"),
        ({"logprobs": "5"}, "logprobs", "invalid_type"),
        ({"logprobs": 1, "n_probs": 2}, "n_probs", "invalid_value"),
        ({"top_logprobs": 2}, "top_logprobs", "unknown_parameter"),
        ({"max_tokens": 0, "logprobs": 1}, "max_tokens", "integer_below_min_value"),
        ({"echo": 1}, "echo", "invalid_type"),
        ({"echo": True, "best_of": 2, "stream": True}, "best_of", "invalid_value"),
    ],
)
def test_what_is_refused_of_completions(given: dict[str, Any], param: str, code: str) -> None:
    assert refused({"model": "m", "prompt": "Once", **given}, COMPLETION) == (param, code)


def test_what_asks_for_nothing_is_named() -> None:
    schema, body = ChatFormat().schema, {"model": "m", "messages": [], "return_tokens_as_token_ids": True}
    assert schema.ignored(body) == ["return_tokens_as_token_ids"]
    assert schema.ignored({**body, "logprobs": True}) == schema.ignored({**body, "n_probs": 1}) == []


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CHATS, chat("x", logprobs=True, top_logprobs=20, max_tokens=4096, n=6), "logprobs"),
        (COMPLETIONS, completion("x", logprobs=14, n=2), "logprobs"),
        (COMPLETIONS, {"model": "echo", "prompt": [[1] * 9999] * 3, "echo": True, "logprobs": 19}, "prompt_logprobs"),
        (COMPLETIONS, {"model": "echo", "prompt": "x" * 30_000, "prompt_logprobs": 20}, "prompt_logprobs"),
    ],
)
def test_an_answer_has_a_bound(http: httpx.Client, path: str, body: dict[str, Any], param: str) -> None:
    error = problem(http.post(path, json=body), 400)
    assert (error["param"], error["code"]) == (param, "invalid_value")
    assert f"at most {Config().max_logprobs} (the operator's INFERQ_MAX_LOGPROBS)" in error["message"]


def test_prompts_are_repeated_within_bounds(http: httpx.Client) -> None:
    body = {"model": "echo", "echo": True, "max_tokens": 0}
    for prompt in ("x " * 40_000, [7] * 10_000):
        error = problem(http.post(COMPLETIONS, json={**body, "prompt": prompt, "n": 128}), 400)
        assert (error["param"], error["code"]) == ("echo", "invalid_value")


def test_it_is_lm_evals(http: httpx.Client) -> None:
    """As it asks for the likelihood of continuations, and as it reads the answer."""
    prompts = [[11, 12, 13, 14], [7, 8]]
    body = {"model": "echo", "prompt": prompts, "max_tokens": 1, "logprobs": 1, "echo": True}
    answer = http.post(COMPLETIONS, json={**body, "seed": 1234, "temperature": 0}).json()
    for choice, prompt in zip(sorted(answer["choices"], key=lambda choice: choice["index"]), prompts, strict=True):
        likely = choice["logprobs"]
        assert likely["token_logprobs"][0] is likely["top_logprobs"][0] is None
        assert [len(likely[name]) for name in likely] == [len(prompt) + 1] * 4
        for own, top in zip(likely["token_logprobs"][1:-1], likely["top_logprobs"][1:-1], strict=True):
            assert own in top.values()
            assert max(top.values()) >= own
    assert answer["usage"]["completion_tokens"] == 2


def test_nothing_but_the_prompt(http: httpx.Client) -> None:
    body = {"model": "echo", "prompt": "once upon a time", "max_tokens": 0}
    [choice] = http.post(COMPLETIONS, json={**body, "echo": True, "logprobs": 0}).json()["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("once upon a time", "length")
    assert choice["logprobs"]["tokens"] == ["once", " upon", " a", " time"]
    assert choice["logprobs"]["text_offset"] == [0, 4, 9, 11]
    answer = http.post(COMPLETIONS, json={**body, "prompt_logprobs": 2}).json()
    [choice] = answer["choices"]
    assert (choice["text"], choice["logprobs"], answer["usage"]["completion_tokens"]) == ("", None, 0)
    first, *others = choice["prompt_logprobs"]
    assert first is None
    for likely in others:
        assert [one["rank"] for one in likely.values()][-2:] == [1, 2] or len(likely) == 2
        assert {name for one in likely.values() for name in one} == {"logprob", "rank", "decoded_token"}


def test_the_openai_client_takes_them_strictly(stack: Stack) -> None:
    client = stack.client(_strict_response_validation=True)
    answer = client.chat.completions.create(model="echo", messages=said("so it is"), logprobs=True, top_logprobs=2)
    assert isinstance(answer, ChatCompletion)
    likely = answer.choices[0].logprobs
    assert likely is not None
    assert likely.content is not None
    assert "".join(one.token for one in likely.content) == "so it is"
    assert b"".join(bytes(one.bytes or ()) for one in likely.content) == b"so it is"
    assert [len(one.top_logprobs) for one in likely.content] == [2, 2, 2]
    with client.chat.completions.stream(
        model="echo", messages=said("so it is"), logprobs=True, top_logprobs=2
    ) as stream:
        streamed = stream.get_final_completion().choices[0].logprobs
    assert streamed is not None
    assert streamed.content == likely.content


def test_the_openai_client_takes_those_of_completions(client: OpenAI) -> None:
    answer = client.completions.create(model="echo", prompt=["a b", "c"], echo=True, logprobs=2, max_tokens=1)
    for choice, tokens in zip(answer.choices, (["a", " b", "a"], ["c", "c"]), strict=True):
        likely = choice.logprobs
        assert likely is not None
        assert likely.tokens == tokens
        assert likely.text_offset == [len("".join(tokens[:place])) for place in range(len(tokens))]
        assert likely.top_logprobs is not None
        assert [len(top) in (2, 3) for top in likely.top_logprobs if top] == [True] * (len(tokens) - 1)


WORDS = st.lists(st.sampled_from(["a", "bé", "ccc", "😀", "stop", "\n"]), max_size=6).map(" ".join)
COMMON = {
    "n": st.sampled_from([1, 1, 3]),
    "max_tokens": st.integers(1, 9),
    "n_probs": st.sampled_from([0, 0, 2]),
    "prompt_logprobs": st.sampled_from([None, None, None, 0, 3]),
    "return_tokens_as_token_ids": st.booleans(),
    "return_token_ids": st.booleans(),
    "stop": st.sampled_from([None, "stop", "op"]),
}
CHAT_BODIES = st.fixed_dictionaries(
    {
        **COMMON,
        "messages": st.tuples(WORDS, WORDS).map(lambda texts: said("<think>{}</think>{}".format(*texts))),
        "logprobs": st.just(True),
        "enable_thinking": st.booleans(),
        "reasoning_format": st.sampled_from(["auto", "none", "hidden"]),
    }
)
PROMPTS = st.lists(WORDS | st.lists(st.integers(0, 99), min_size=1, max_size=5), min_size=1, max_size=3)
TEXT_BODIES = st.fixed_dictionaries(
    {
        **COMMON,
        "prompt": PROMPTS,
        "logprobs": st.sampled_from([None, True, 2]),
        "echo": st.booleans(),
        "best_of": st.sampled_from([None, None, 4]),
    }
)


def streamed(response: httpx.Response) -> list[dict[str, Any]]:
    lines = (line for line in response.text.split("\n") if not line.startswith("id: "))
    *chunks, done = data(lines)
    assert done == "[DONE]"
    return chunks


@settings(max_examples=60)
@given(body=st.one_of(CHAT_BODIES.map(lambda body: (CHATS, body)), TEXT_BODIES.map(lambda body: (COMPLETIONS, body))))
def test_whole_streamed_and_followed_it_is_the_same(http: httpx.Client, body: tuple[str, dict[str, Any]]) -> None:
    path, asked = body[0], {"model": "echo", **body[1]}
    if path == COMPLETIONS and asked["logprobs"] is True and asked["n_probs"]:
        asked["logprobs"] = 2
    response = http.post(path, json=asked)
    assert response.status_code == 200, response.text
    answer = response.json()
    expected = told([answer])
    assert told([job(http, answer["id"])["result"]]) == expected
    assert told(streamed(http.get(f"/v1/jobs/{answer['id']}/events"))) == expected
    if asked["prompt_logprobs"] is None and not asked.get("best_of"):
        assert told(streamed(http.post(path, json={**asked, "stream": True}))) == expected
    choices = [expected[choice["index"]] for choice in answer["choices"]]
    tokens = sum(len(one.get(name, ())) for one in choices for name in ("content", "reasoning_content", "tokens"))
    if path == CHATS:
        hidden = answer["usage"]["completion_tokens_details"]["reasoning_tokens"]
        hidden = hidden if asked["reasoning_format"] == "hidden" else 0
        assert tokens == answer["usage"]["completion_tokens"] - hidden
        assert not any(one.get("reasoning_content") for one in choices if asked["reasoning_format"] != "auto")
    elif (asked["logprobs"] is not None or asked["n_probs"]) and not asked["best_of"]:
        prompts = answer["usage"]["prompt_tokens"] * asked["n"] if asked["echo"] else 0
        assert tokens == answer["usage"]["completion_tokens"] + prompts
        assert_offsets(choices, asked)


def assert_offsets(choices: list[dict[str, Any]], asked: dict[str, Any]) -> None:
    """Each token stands where it is said to stand, also where a stop string has cut the last one."""
    for choice in choices:
        text, ids = choice["text"], asked["return_tokens_as_token_ids"]
        for token, place in zip(choice.get("tokens", ()), choice.get("text_offset", ()), strict=True):
            assert ids or text.startswith(token, place) or token.startswith(text[place:])
            assert token.startswith("token_id:") == ids


def test_what_tools_call_is_told_whole(http: httpx.Client) -> None:
    text = json.dumps([{"content": "Let me see."}, {"name": "look", "arguments": {"at": "it"}}])
    answer = http.post(CHATS, json=chat(text, tools=[TOOL], **TOP)).json()
    [choice] = answer["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert len(choice["logprobs"]["content"]) == answer["usage"]["completion_tokens"]
    assert told(streamed(http.get(f"/v1/jobs/{answer['id']}/events"))) == told([answer])


@pytest.mark.parametrize("continues", [1, 0], ids=["continued", "computed again"])
@pytest.mark.parametrize("path", [CHATS, COMPLETIONS])
def test_a_killed_worker_costs_none(served: Stack, path: str, continues: int) -> None:
    victim = served.start_worker(echo_rate=20, echo_continue=continues)
    text = " ".join(map(str, range(30)))
    body = chat(text, **TOP) if path == CHATS else completion(text, echo=True, logprobs=2)
    http = served.http()
    with http.stream("POST", path, json={**body, "stream": True}) as response:
        lines = data(response.iter_lines())
        chunks = [next(lines) for _ in range(8)]
        victim.kill()
        served.start_worker(echo_continue=continues)
        chunks += [chunk for chunk in lines if chunk != "[DONE]"]
    found = told(chunks)
    assert found == told([http.post(path, json=body).json()])
    assert len(found[0].get("content", found[0].get("tokens", ()))) == (30 if path == CHATS else 60)
