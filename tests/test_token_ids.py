"""`return_token_ids`: every token of an answer and of its prompt, exact also where tokens split characters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest

from tests.calls import CHATS, COMPLETIONS, chat, completion, data, problem, said, spoken, submit
from tests.stack import Stack, running, wait_for
from tests.tiny import REFERENCE, TINY

EMOJI = "Repeat: 😀😂🤣😃 日本語 😀😂🤣😃 日本語 😀😂🤣😃 日本語"
BODY: dict[str, Any] = {"model": "smollm2", "prompt": EMOJI, "temperature": 0, "max_tokens": 24}
IDS = {"return_token_ids": True}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Random weights: most of its tokens are parts of characters."""
    with running(tmp_path_factory.mktemp("tiny")) as stack:
        stack.start_gateway()
        stack.start_worker(str(TINY), slots=2)
        yield stack.http()


def ask(http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = http.post(path, json={**IDS, **body})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    assert sum(len(choice["token_ids"]) for choice in answer["choices"]) == answer["usage"]["completion_tokens"]
    return answer


def streamed(http: httpx.Client, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    with http.stream("POST", path, json={**IDS, **body, "stream": True}) as response:
        *chunks, done = data(response.iter_lines())
    assert done == "[DONE]"
    return chunks


def ids(chunks: list[dict[str, Any]], index: int = 0) -> list[int]:
    choices = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    return [token for choice in choices for token in choice["token_ids"]]


def test_greedy_tokens_are_those_of_transformers(tiny: httpx.Client) -> None:
    body = {"model": "tiny-llama", "prompt": REFERENCE["ids"], "temperature": 0, "max_tokens": 16}
    answer = ask(tiny, COMPLETIONS, body)
    [choice] = answer["choices"]
    assert choice["token_ids"] == REFERENCE["greedy"]
    assert choice["prompt_token_ids"] == answer["prompt_token_ids"] == REFERENCE["ids"]
    chunks = streamed(tiny, COMPLETIONS, body)
    assert ids(chunks) == REFERENCE["greedy"]
    assert chunks[0]["prompt_token_ids"] == chunks[0]["choices"][0]["prompt_token_ids"] == REFERENCE["ids"]
    assert not any("prompt_token_ids" in chunk for chunk in chunks[1:])


@pytest.mark.parametrize("seed", range(3))
def test_wherever_it_ends_no_token_is_missing(tiny: httpx.Client, seed: int) -> None:
    """The first n of an answer are the same for every n, also when the n-th is a part of a character."""
    body = {"model": "tiny-llama", "messages": said("héllo 😀"), "temperature": 0, "logit_bias": {str(seed): -100}}
    whole = ask(tiny, CHATS, {**body, "max_tokens": 40})["choices"][0]["token_ids"]
    assert -1 not in whole
    for most in range(1, 12):
        assert ask(tiny, CHATS, {**body, "max_tokens": most})["choices"][0]["token_ids"] == whole[:most]
    assert ids(streamed(tiny, CHATS, {**body, "max_tokens": 40})) == whole


def test_they_are_told_only_where_they_are_asked_for(tiny: httpx.Client) -> None:
    body = {"model": "tiny-llama", "prompt": "a", "max_tokens": 3}
    for more in ({}, {"return_token_ids": False}, {"return_token_ids": None}):
        assert "token_ids" not in tiny.post(COMPLETIONS, json={**body, **more}).text
    error = problem(tiny.post(COMPLETIONS, json={**body, "return_token_ids": "yes"}), 400)
    assert (error["param"], error["code"]) == ("return_token_ids", "invalid_type")


def test_every_choice_has_its_own_and_its_prompts(tiny: httpx.Client) -> None:
    body = {"model": "tiny-llama", "prompt": ["ab", [5, 6, 7]], "n": 2, "max_tokens": 5, "seed": 3}
    answer = ask(tiny, COMPLETIONS, body)
    assert "prompt_token_ids" not in answer  # it has two
    assert [choice["prompt_token_ids"] for choice in answer["choices"]][2:] == [[5, 6, 7]] * 2
    assert answer["choices"][0]["token_ids"] != answer["choices"][1]["token_ids"]
    chunks = streamed(tiny, COMPLETIONS, body)
    for index, choice in enumerate(answer["choices"]):
        assert ids(chunks, index) == choice["token_ids"]
    best = ask(tiny, COMPLETIONS, {**body, "prompt": [5, 6], "n": 1})
    assert best["prompt_token_ids"] == [5, 6]


def test_best_of_tells_those_of_the_best(tiny: httpx.Client) -> None:
    body = {"model": "tiny-llama", "prompt": [5, 6], "best_of": 3, "max_tokens": 5, "seed": 3}
    response = tiny.post(COMPLETIONS, json={**IDS, **body}).json()
    assert len(response["choices"][0]["token_ids"]) == 5
    assert response["prompt_token_ids"] == [5, 6]


def test_a_job_polled_for_has_them_too(tiny: httpx.Client) -> None:
    body = {"model": "tiny-llama", "prompt": REFERENCE["ids"], "temperature": 0, "max_tokens": 16, **IDS}
    job = submit(tiny, COMPLETIONS, body)
    done = wait_for(lambda: (found := tiny.get(f"/v1/jobs/{job}").json())["status"] == "completed" and found, "the end")
    assert done["result"]["choices"][0]["token_ids"] == REFERENCE["greedy"]
    assert done["tokens"] == 16


def test_a_bias_forbids_and_forces(tiny: httpx.Client) -> None:
    body = {"model": "tiny-llama", "prompt": REFERENCE["ids"], "temperature": 0, "max_tokens": 8}
    first = REFERENCE["greedy"][0]
    assert ask(tiny, COMPLETIONS, {**body, "logit_bias": {str(first): -100}})["choices"][0]["token_ids"][0] != first
    forced = ask(tiny, COMPLETIONS, {**body, "logit_bias": {"97": 100}})
    assert forced["choices"][0]["token_ids"] == [97] * 8
    error = problem(tiny.post(COMPLETIONS, json={**body, "logit_bias": {"512": 1}}), 400)
    assert error["param"] == "logit_bias"
    assert "512" in error["message"]


@pytest.mark.parametrize(
    ("bias", "param", "code"),
    [
        ([7], "logit_bias", "invalid_type"),
        ({"x": 1}, "logit_bias.x", "invalid_value"),
        ({"-1": 1}, "logit_bias.-1", "invalid_value"),
        ({"01": 1}, "logit_bias.01", "invalid_value"),
        ({"4294967296": 1}, "logit_bias.4294967296", "invalid_value"),
        ({"7": "1"}, "logit_bias.7", "invalid_type"),
        ({"7": None}, "logit_bias.7", "invalid_type"),
        ({"7": 100.5}, "logit_bias.7", "decimal_above_max_value"),
        ({"7": -101}, "logit_bias.7", "decimal_below_min_value"),
        ({str(token): 1 for token in range(1025)}, "logit_bias", "invalid_value"),
    ],
)
def test_bad_biases(echo: Stack, bias: object, param: str, code: str) -> None:
    for path, body in ((CHATS, chat("x")), (COMPLETIONS, completion("x"))):
        error = problem(echo.http().post(path, json={**body, "logit_bias": bias}), 400)
        assert (error["param"], error["code"]) == (param, code)


def test_what_cannot_be_read_is_refused_before_it_is_repeated(tiny: httpx.Client) -> None:
    """Nobody knows before it is tokenised that it is too long."""
    for prompt, code in (([5, 512], "invalid_value"), ("🙂" * 64, "context_length_exceeded")):
        body = {"model": "tiny-llama", "prompt": prompt, "max_tokens": 1, "echo": True}
        for stream in (False, True):
            told = problem(tiny.post(COMPLETIONS, json={**body, "stream": stream}), 400)
            assert (told["param"], told["code"]) == ("prompt", code)


@pytest.mark.parametrize("continues", [1, 0], ids=["continued", "computed again"])
def test_a_killed_worker_costs_no_token(served: Stack, continues: int) -> None:
    victim = served.start_worker(echo_rate=20, echo_continue=continues)
    http, text = served.http(), " ".join(map(str, range(30)))
    expected = None
    with http.stream("POST", CHATS, json=chat(text, stream=True, **IDS)) as response:
        lines = data(response.iter_lines())
        chunks = [next(lines) for _ in range(8)]
        victim.kill()
        served.start_worker(echo_continue=continues)
        chunks += [chunk for chunk in lines if chunk != "[DONE]"]
    expected = ask(http, CHATS, chat(text))
    assert ids(chunks) == expected["choices"][0]["token_ids"]
    assert len(ids(chunks)) == 30
    assert chunks[0]["prompt_token_ids"] == expected["prompt_token_ids"]
    assert not any("prompt_token_ids" in chunk for chunk in chunks[1:])


class TestRealModel:
    def test_emoji(self, smollm2: Stack) -> None:
        http = smollm2.http()
        without = http.post(COMPLETIONS, json=BODY).json()["choices"][0]
        answer = ask(http, COMPLETIONS, BODY)["choices"][0]
        assert answer["text"] == without["text"]
        assert answer["token_ids"][:9] == [10813, 242, 220, 10813, 114, 113, 10813, 242, 221]  # 😂🤣😃
        again = {**BODY, "prompt": answer["prompt_token_ids"]}
        chunks = streamed(http, COMPLETIONS, again)
        assert ids(chunks) == answer["token_ids"]
        assert spoken(chunks) == answer["text"]

    def test_a_stop_string_after_emoji(self, smollm2: Stack) -> None:
        http = smollm2.http()
        body = {**BODY, "stop": ["😃\n"]}
        without = http.post(COMPLETIONS, json=body).json()
        answer = ask(http, COMPLETIONS, body)
        assert answer["choices"][0]["text"] == without["choices"][0]["text"] == "😂🤣"
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert answer["usage"] == {
            **without["usage"],
            "prompt_tokens_details": answer["usage"]["prompt_tokens_details"],
        }

    def test_an_answer_that_ends_by_itself_tells_its_last_token(self, smollm2: Stack) -> None:
        body = {"model": "smollm2", "temperature": 0, "max_tokens": 40}
        body["messages"] = said("What is the capital city of France? Answer in one word.")
        answer = ask(smollm2.http(), CHATS, body)
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert answer["choices"][0]["token_ids"][-1] == 2  # <|im_end|>
        assert ids(streamed(smollm2.http(), CHATS, body)) == answer["choices"][0]["token_ids"]
