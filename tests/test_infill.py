"""Gaps to fill: llama.cpp's /infill as editors ask for it, and `suffix` of completions, on the echo engine."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from openai import BadRequestError, OpenAI

from tests.calls import COMPLETIONS, LATER, data, job, problem, submit
from tests.stack import Stack, running, wait_for
from tests.tiny import TINY
from tests.vocabularies import GAPS, write

INFILL = "/infill"
TIMINGS = [f"timings/{kind}_{what}" for kind in ("prompt", "predicted") for what in ("n", "ms", "per_second")]
VIM: dict[str, Any] = {
    "id_slot": 0,
    "input_prefix": "def f(n):\n",
    "input_suffix": "\nf(1)\n",
    "input_extra": [{"text": "x = 1", "time": [3, 14], "filename": "/home/me/a.py"}],
    "prompt": "    return ",
    "n_predict": 128,
    "stop": [],
    "n_indent": 0,
    "top_k": 40,
    "top_p": 0.90,
    "samplers": ["top_k", "top_p", "infill"],
    "stream": False,
    "cache_prompt": True,
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 1000,
    "response_fields": ["content", *TIMINGS, "truncated", "tokens_cached"],
    "model": "",
}
"""What llama.vim sends."""
VIM_WARMS = {
    **{name: VIM[name] for name in ("id_slot", "input_extra", "stream", "cache_prompt", "model")},
    "input_prefix": "",
    "input_suffix": "",
    "prompt": "",
    "n_predict": 0,
    "temperature": 0.0,
    "samplers": [],
    "t_max_prompt_ms": 1,
    "t_max_predict_ms": 1,
    "response_fields": [""],
}
CODE: dict[str, Any] = {
    **{name: VIM[name] for name in ("id_slot", "input_prefix", "input_suffix", "prompt", "n_predict", "samplers")},
    "input_extra": [{"text": "x = 1", "time": 1_764_370_000_000, "filename": "c:\\a.py"}],
    "n_cmpl": 3,
    "top_k": 40,
    "top_p": 0.99,
    "stream": False,
    "cache_prompt": True,
    "n_indent": 4,
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 1000,
}
"""What llama.vscode sends."""
FILLED = "def f(n):\n    return \nf(1)\n"
"""What the echo engine fills the gap with: what stands around it."""


def gap(prefix: str = "one two ", suffix: str = " four", **more: Any) -> dict[str, Any]:
    return {"input_prefix": prefix, "input_suffix": suffix, **more}


def fill(http: httpx.Client, body: dict[str, Any]) -> Any:
    answer = http.post(INFILL, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_answer_is_llama_cpps(http: httpx.Client) -> None:
    answer = fill(http, gap(prompt="three", return_tokens=True, seed=5))
    timings, tokens = answer.pop("timings"), answer.pop("tokens")
    assert answer == {
        "index": 0,
        "content": "one two three four",
        "stop": True,
        "model": "echo",
        "tokens_predicted": 4,
        "tokens_evaluated": 4,
        "generation_settings": {"seed": 5},
        "has_new_line": False,
        "truncated": False,
        "stop_type": "eos",
        "stopping_word": "",
        "tokens_cached": 8,
    }
    assert len(tokens) == 4
    assert timings == {"cache_n": 0, "prompt_n": 4, "predicted_n": 4}
    assert fill(http, gap(n_predict=2))["stop_type"] == "limit"
    assert fill(http, gap(stop=["two"]))["content"] == "one "
    assert fill(http, gap(response_fields=["timings/prompt_n", "model", "none", "model/x"])) == {
        "timings/prompt_n": 3,
        "model": "echo",
    }


def test_llama_vim_is_served(http: httpx.Client) -> None:
    answer = http.post(INFILL, json=VIM)
    assert re.search(r'^\s*\{.*"content"\s*:"', answer.text), "it looks for that before it reads JSON"
    assert answer.json() == {
        "content": FILLED,
        "timings/prompt_n": 9,
        "timings/predicted_n": 5,
        "truncated": False,
        "tokens_cached": 14,
    }
    assert answer.headers["x-inferq-ignored"] == "id_slot, t_max_prompt_ms"
    assert fill(http, VIM_WARMS) == {}


def test_llama_vscode_is_served(http: httpx.Client) -> None:
    answers = fill(http, CODE)
    assert [(answer["index"], answer["content"]) for answer in answers] == [(i, FILLED[:-5]) for i in range(3)]
    assert answers[0]["generation_settings"].get("n_ctx") is None
    warmed = fill(http, {**CODE, "n_predict": 0, "samplers": [], "t_max_predict_ms": 1, "n_cmpl": 1})
    assert (warmed["content"], warmed["tokens_predicted"], warmed["stop_type"]) == ("", 0, "limit")
    assert warmed["tokens_evaluated"] == 9


@pytest.mark.parametrize("n", [1, 2])
def test_a_stream_is_the_same_in_pieces(http: httpx.Client, n: int) -> None:
    body = gap(
        "one\ntwo", " three", n_predict=2, n_cmpl=n, seed=3, return_tokens=True, response_fields=["stop", "model"]
    )
    whole = fill(http, {**body, "response_fields": []})
    whole = whole if n > 1 else [whole]
    with http.stream("POST", INFILL, json={**body, "stream": True}) as answer:
        parts = list(data(answer.iter_lines()))
        job_id = answer.headers["location"].rpartition("/")[2]
    pieces = [part for part in parts if not part["stop"]]
    assert {piece["tokens_evaluated"] for piece in pieces} == {whole[0]["tokens_evaluated"] if n == 1 else 0}
    assert parts[-n:] == [{"stop": True, "model": "echo"}] * n
    for each in whole:
        own = [piece for piece in pieces if piece["index"] == each["index"]]
        assert "".join(piece["content"] for piece in own) == each["content"] == "one\ntwo"
        assert [token for piece in own for token in piece["tokens"]] == each["tokens"]
        assert [piece["tokens_predicted"] for piece in own] == [1, 2]
        assert (each["has_new_line"], each["stop_type"]) == (True, "limit")
    assert job_id.startswith("infill-")
    assert job(http, job_id)["result"] == ([{"stop": True, "model": "echo"}] * n if n > 1 else parts[-1])


def test_an_answer_comes_later_too(http: httpx.Client) -> None:
    job_id = submit(http, "/v1/infill", gap())
    wait_for(lambda: job(http, job_id)["status"] == "completed", "the end")
    assert job(http, job_id)["result"]["content"] == "one two  four"
    events = http.get(f"/v1/jobs/{job_id}/events").text
    assert events.count("id: ") == events.count("data: ") == 4
    assert http.post("/v1/infill", json=gap(), headers=LATER).headers["location"].startswith("/v1/jobs/infill-")


@pytest.mark.parametrize(
    ("text", "indent", "filled"),
    [
        ("  a\n  b\nc", 2, "  a\n  b\n"),
        ("a\n    b\n  c\n    d", 3, "a\n    b\n  "),
        ("a\n\tb\n\n\tc", 1, "a\n\tb\n"),
        ("a\n\tb\n\n\tc", 0, "a\n\tb\n\n\tc"),
        ("a\n ", 4, "a\n "),
    ],
)
def test_a_line_with_less_indentation_ends_it(http: httpx.Client, text: str, indent: int, filled: str) -> None:
    answer = fill(http, gap(text, "", n_indent=indent))
    assert answer["content"] == filled
    assert answer["stop_type"] == ("limit" if filled != text else "eos")


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("slow"), echo_rate=50, context=100) as stack:
        stack.start_gateway(processes=1)
        stack.start_worker()
        yield stack


def test_its_time_ends_with_a_line(slow: Stack) -> None:
    """At 50 tokens a second the whole takes far longer."""
    answer = fill(slow.http(), gap("a\n" * 40, "", t_max_predict_ms=100))
    lines = answer["content"].count("\n")
    assert 0 < lines < 39
    assert answer["content"] == "a\n" * lines
    assert answer["stop_type"] == "limit"
    assert fill(slow.http(), gap("b " * 20, "", t_max_predict_ms=1))["content"] == "b " * 20, "a line is whole"


def test_what_has_no_room_is_left_out_and_told(slow: Stack) -> None:
    long = gap("word " * 200, "", n_predict=2)
    assert fill(slow.http(), long)["truncated"] is True
    body = {"model": "echo", "prompt": "word " * 60, "suffix": "word " * 60}
    assert problem(slow.http().post(COMPLETIONS, json=body), 400)["code"] == "context_length_exceeded"


def test_a_completion_has_a_suffix(client: OpenAI, http: httpx.Client) -> None:
    answer = client.completions.create(model="echo", prompt=["a b", "c"], suffix=" d", max_tokens=9, n=2)
    assert [choice.text for choice in answer.choices] == ["a b d", "a b d", "c d", "c d"]
    stream = client.completions.create(model="echo", prompt="a b", suffix=" d", stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == "a b d"
    for nothing in ("", None):
        assert client.completions.create(model="echo", prompt="a", suffix=nothing).choices[0].text == "a"
    for more in ({"suffix": 1}, {"suffix": "b", "echo": True}, {"suffix": "b", "prompt_logprobs": 0}):
        with pytest.raises(BadRequestError, match="suffix"):
            client.completions.create(model="echo", prompt="a", extra_body=more)
    logprobs = client.completions.create(model="echo", prompt="a", suffix=" d", logprobs=1).choices[0].logprobs
    assert logprobs
    assert logprobs.tokens == ["a", " d"]


def test_the_first_model_that_can_is_asked(served: Stack, tmp_path: Path) -> None:
    """Also by llama.vim, which sends no name: of two models the second has infill tokens."""
    shutil.copy(TINY, tmp_path / "plain.gguf")
    write(tmp_path / "taught.gguf", special=GAPS, template="")
    for name in ("plain", "taught"):
        served.start_worker(str(tmp_path / f"{name}.gguf"))
    http = served.http()
    known = {model["id"]: model["capabilities"] for model in http.get("/v1/models").json()["data"]}
    assert {name: "infill" in able for name, able in known.items()} == {"plain": False, "taught": True}
    answer = fill(http, {**VIM, "n_predict": 8, "response_fields": []})
    assert (answer["model"], answer["tokens_predicted"] <= 8) == ("taught", True)
    assert {f"timings/{name}" for name in answer["timings"]} > set(TIMINGS)
    for body, path in ((gap(model="plain"), INFILL), ({"model": "plain", "prompt": "a", "suffix": "b"}, COMPLETIONS)):
        error = problem(http.post(path, json=body), 400)
        assert (error["param"], error["code"]) == ("model", "unsupported_value")
        assert "no infill tokens" in error["message"]


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"input_prefix": None}, "input_prefix", "missing_required_parameter"),
        ({"input_suffix": ["a"]}, "input_suffix", "invalid_type"),
        ({"prompt": ["a"]}, "prompt", "invalid_type"),
        ({"input_extra": [{"filename": "a"}]}, "input_extra[0].text", "missing_required_parameter"),
        ({"input_extra": [{"text": 1}]}, "input_extra[0].text", "invalid_type"),
        ({"input_extra": [{"text": "", "filename": "a" * 4097}]}, "input_extra[0].filename", "string_above_max_length"),
        ({"input_extra": [{"text": ""}] * 257}, "input_extra", "array_above_max_length"),
        ({"response_fields": ["a"] * 65}, "response_fields", "array_above_max_length"),
        ({"n_predict": -2}, "n_predict", "integer_below_min_value"),
        ({"n_indent": -1}, "n_indent", "integer_below_min_value"),
        ({"n_cmpl": 2, "n": 3}, "n", "invalid_value"),
        ({"samplers": []}, "samplers", "empty_array"),
        ({"samplers": ["top_k", "other"]}, "samplers[1]", "unsupported_value"),
        ({"n_probs": 2}, "n_probs", "unsupported_value"),
        ({"lora": [{"id": 0, "scale": 0.5}]}, "lora", "unsupported_value"),
        ({"suffix": "a"}, "suffix", "unknown_parameter"),
        ({"model": "none"}, "model", "model_not_found"),
    ],
)
def test_what_is_refused(http: httpx.Client, given: dict[str, Any], param: str, code: str) -> None:
    error = problem(http.post(INFILL, json={**gap(), **given}), 404 if param == "model" else 400)
    assert (error["param"], error["code"]) == (param, code)
