"""The wire format: what requests may hold, what answers and errors look like, and that the docs say so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from marshmallow import Schema

from gateway import errors
from gateway.schemas import FORMATS, Format
from gateway.schemas.body import load_json
from gateway.schemas.chat import ChatSchema, MessageSchema
from gateway.schemas.completion import CompletionSchema
from gateway.schemas.openai import render_failure
from gateway.schemas.outcomes import failure, outcome
from gateway.schemas.parameters import Only
from gateway.schemas.problem import CODES
from gateway.schemas.sampling import StreamOptions
from shared.errors import InferqError, InvalidRequest
from shared.protocol import (
    Chat,
    Completion,
    Failed,
    Message,
    Options,
    Sampling,
)

CHAT, COMPLETION = FORMATS["openai.chat"], FORMATS["openai.completion"]
USER = {"role": "user", "content": "Hi"}
DOCS = Path(__file__).parent.parent / "docs" / "api.md"


def chat(**given: Any) -> tuple[Any, Options]:
    return CHAT.parse({"model": "m", "messages": [USER], **given}, seed=7)


def completion(**given: Any) -> tuple[Any, Options]:
    return COMPLETION.parse({"model": "m", "prompt": "Once", **given}, seed=7)


def refused(body: object, wire: Format = CHAT) -> tuple[str | None, str]:
    """(param, code) of the error; every message is words that name the parameter."""
    with pytest.raises(InvalidRequest) as caught:
        wire.parse(body, seed=7)
    error = caught.value
    assert error.message.endswith(".")
    assert error.message.isprintable()
    assert error.code in CODES
    if error.param is not None:
        assert error.param in error.message
    return error.param, error.code


def refused_chat(**given: Any) -> tuple[str | None, str]:
    return refused({"model": "m", "messages": [USER], **given})


# --- what a request becomes


def test_least_requests() -> None:
    plain = Options(stream=False, include_usage=False)
    assert chat() == (Chat("m", (Message("user", "Hi"),), Sampling(seed=7)), plain)
    assert completion() == (Completion("m", ("Once",), Sampling(seed=7, max_tokens=16)), plain)
    assert (CHAT.id_prefix, COMPLETION.id_prefix) == ("chatcmpl-", "cmpl-")


SUPPORTED: list[tuple[str, list[Any], list[tuple[Any, str]]]] = [
    ("max_tokens", [1, 2**31 - 1], [(0, "integer_below"), (2**31, "integer_above"), (1.0, "type"), ("9", "type")]),
    ("temperature", [0, 0.7, 2], [(-0.1, "decimal_below"), (2.1, "decimal_above"), ("1", "type"), (True, "type")]),
    ("top_p", [0, 1.0], [(-1, "decimal_below"), (1.01, "decimal_above"), ([1], "type")]),
    ("top_k", [0, 40], [(-1, "integer_below"), (10**400, "integer_above"), (True, "type"), (0.5, "type")]),
    ("min_p", [0, 1], [(-0.01, "decimal_below"), (1.5, "decimal_above"), (float("nan"), "decimal_below")]),
    ("typical_p", [0, 1], [(-0.01, "decimal_below"), (10**400, "decimal_above"), ({}, "type")]),
    ("repeat_penalty", [0.01, 1.1, 100], [(0, "decimal_below"), (-1, "decimal_below"), (1e300, "decimal_above")]),
    ("presence_penalty", [-2, 2], [(-2.1, "decimal_below"), (3, "decimal_above"), ("", "type")]),
    ("frequency_penalty", [-2, 2], [(-2.1, "decimal_below"), (3, "decimal_above"), (False, "type")]),
    ("ignore_eos", [True, False], [("true", "type"), (1, "type")]),
]
ALLOWED = [(name, value) for name, values, _ in SUPPORTED for value in values]
FORBIDDEN = [(name, value, code) for name, _, values in SUPPORTED for value, code in values]


@pytest.mark.parametrize("parse", [chat, completion])
@pytest.mark.parametrize(("name", "value"), ALLOWED)
def test_sampling_is_taken_over(parse: Any, name: str, value: object) -> None:
    task, _ = parse(**{name: value})
    assert getattr(task.sampling, name) == value


@pytest.mark.parametrize("base", [{"messages": [USER]}, {"prompt": "Once"}])
@pytest.mark.parametrize(("name", "value", "code"), FORBIDDEN)
def test_sampling_out_of_bounds_or_of_another_type(base: dict[str, Any], name: str, value: object, code: str) -> None:
    param, found = refused({"model": "m", **base, name: value}, CHAT if "messages" in base else COMPLETION)
    assert param == name
    assert code in found


@pytest.mark.parametrize(
    ("given", "seed"), [(0, 0), (2**32 - 2, 2**32 - 2), (2**32 - 1, 0), (-1, 2**32 - 2), (2**63 - 1, 2**31 - 1)]
)
def test_seed_fits_an_engine(given: int, seed: int) -> None:
    assert chat(seed=given)[0].sampling.seed == seed


@pytest.mark.parametrize("seed", [2**63, -(2**63) - 1, 1.0, True, "1"])
def test_bad_seed(seed: object) -> None:
    assert refused_chat(seed=seed)[0] == "seed"


def test_limits_of_chat() -> None:
    assert chat(max_completion_tokens=5, max_tokens=9)[0].sampling.max_tokens == 5
    assert chat(max_tokens=9)[0].sampling.max_tokens == 9
    assert chat(max_completion_tokens=None, max_tokens=9)[0].sampling.max_tokens == 9
    assert refused_chat(max_completion_tokens=0) == ("max_completion_tokens", "integer_below_min_value")
    assert refused({"model": "m", "prompt": "", "max_completion_tokens": 1}, COMPLETION)[1] == "unknown_parameter"
    assert completion(max_tokens=None)[0].sampling.max_tokens == 16


@pytest.mark.parametrize(
    ("stop", "texts"), [("a", ("a",)), ([], ()), (["a", "\n"], ("a", "\n")), (["a"] * 16, ("a",) * 16)]
)
def test_stop(stop: object, texts: tuple[str, ...]) -> None:
    assert chat(stop=stop)[0].sampling.stop == texts


@pytest.mark.parametrize(
    ("stop", "param", "code"),
    [
        ("", "stop", "invalid_value"),
        (["a", ""], "stop[1]", "invalid_value"),
        (["a", None], "stop[1]", "invalid_type"),
        ([1], "stop[0]", "invalid_type"),
        (["\udc00"], "stop[0]", "invalid_value"),
        (["a"] * 17, "stop", "array_above_max_length"),
        ({"a": 1}, "stop", "invalid_type"),
    ],
)
def test_bad_stop(stop: object, param: str, code: str) -> None:
    assert refused_chat(stop=stop) == (param, code)


def test_streaming() -> None:
    assert chat(stream=True)[1] == Options(stream=True, include_usage=False)
    asked = {"include_usage": True, "include_obfuscation": False}
    assert chat(stream=True, stream_options=asked)[1] == Options(stream=True, include_usage=True)
    assert completion(stream=True, stream_options={"include_usage": None})[1].include_usage is False
    assert chat(stream=False, stream_options=None)[1].stream is False
    for stream in ({}, {"stream": False}, {"stream": None}):
        assert refused_chat(stream_options={"include_usage": True}, **stream) == ("stream_options", "invalid_value")
    for options, place in (
        ({"include_usage": 1}, "include_usage"),
        ({"x": 1}, "x"),
        ({"include_obfuscation": 0}, "incl"),
    ):
        param, _ = refused_chat(stream=True, stream_options=options)
        assert str(param).startswith(f"stream_options.{place}")
    assert refused_chat(stream=True, stream_options=True) == ("stream_options", "invalid_type")
    assert refused_chat(stream="true") == ("stream", "invalid_type")


@pytest.mark.parametrize(
    ("schema", "wire", "base"),
    [(ChatSchema, CHAT, {"messages": [USER]}), (CompletionSchema, COMPLETION, {"prompt": "Once"})],
)
def test_null_means_not_given(schema: type[Schema], wire: Format, base: dict[str, Any]) -> None:
    nulls = dict.fromkeys(schema().fields)
    assert wire.parse({**nulls, "model": "m", **base}, 7) == wire.parse({"model": "m", **base}, 7)


@pytest.mark.parametrize("parse", [chat, completion])
def test_accepted_without_effect(parse: Any) -> None:
    inert = {
        "user": "u",
        "metadata": {"a": "b"},
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "prompt_cache_options": {"mode": "explicit"},
        "verbosity": "low",
        "service_tier": "default",
        "store": False,
    }
    assert parse(**inert) == parse()


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"user": 1}, "user"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"prompt_cache_options": "x"}, "prompt_cache_options"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"store": True}, "store"),
    ],
)
def test_without_effect_but_not_just_anything(given: dict[str, Any], param: str) -> None:
    assert refused_chat(**given)[0] == param


RESTRICTED = [
    (wire, name, field)
    for wire, schema in ((CHAT, ChatSchema()), (COMPLETION, CompletionSchema()))
    for name, field in schema.fields.items()
    if isinstance(field, Only)
]


@pytest.mark.parametrize(("wire", "name", "field"), RESTRICTED)
def test_unsupported_only_where_it_asks_for_nothing(wire: Format, name: str, field: Only) -> None:
    body = {"model": "m", "messages": [USER]} if wire is CHAT else {"model": "m", "prompt": "Once"}
    for value in field.accepted:
        assert wire.parse({**body, name: value}, 7) == wire.parse(body, 7)
    for value in (2, 0.0, 1.0, "required", [{"type": "function"}], {"type": "json_object"}, {"50256": -100}):
        code = "unsupported_value" if field.accepted else "unsupported_parameter"
        assert refused({**body, name: value}, wire) == (name, code)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"logprobs": 0.0}, "logprobs"),  # equal to False in Python
        ({"logprobs": 0}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"response_format": {"type": "text", "x": 1}}, "response_format"),
    ],
)
def test_near_misses(given: dict[str, Any], expected: str) -> None:
    assert refused_chat(**given) == (expected, "unsupported_value")


# --- messages


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "developer", "content": "x"}, Message("system", "x")),
        ({"role": "system", "content": ""}, Message("system", "")),
        ({"role": "user", "content": "a\0b", "name": "bob"}, Message("user", "a\0b")),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": " b"}]},
            Message("user", "a b"),
        ),
        (
            {
                "role": "user",
                "content": [{"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}],
            },
            Message("user", "a"),
        ),
        ({"role": "assistant", "content": "x", "tool_calls": [], "annotations": []}, Message("assistant", "x")),
    ],
)
def test_messages(message: dict[str, Any], expected: Message) -> None:
    assert chat(messages=[USER, message])[0].messages[1] == expected


def part(**fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": "a"}, fields]}


@pytest.mark.parametrize(
    ("messages", "param", "code"),
    [
        ([], "messages", "empty_array"),
        ("Hi", "messages", "invalid_type"),
        (USER, "messages", "invalid_type"),
        (None, "messages", "missing_required_parameter"),
        ([USER] * 2049, "messages", "array_above_max_length"),
        (["Hi"], "messages[0]", "invalid_type"),
        ([None], "messages[0]", "invalid_type"),
        ([USER, {"content": "x"}], "messages[1].role", "missing_required_parameter"),
        ([{"role": "tool", "tool_call_id": "c", "content": "x"}], "messages[0].role", "invalid_value"),
        ([{"role": "function", "name": "f", "content": "x"}], "messages[0].role", "invalid_value"),
        ([{"role": "\ud800", "content": "x"}], "messages[0].role", "invalid_value"),
        ([{"role": 1, "content": "x"}], "messages[0].role", "invalid_type"),
        ([{"role": "user"}], "messages[0].content", "missing_required_parameter"),
        ([{"role": "assistant", "content": None}], "messages[0].content", "missing_required_parameter"),
        ([{"role": "user", "content": 1}], "messages[0].content", "invalid_type"),
        ([{"role": "user", "content": []}], "messages[0].content", "empty_array"),
        ([{"role": "user", "content": "\ud83d"}], "messages[0].content", "invalid_value"),
        ([{"role": "user", "content": ["a"]}], "messages[0].content[0]", "invalid_type"),
        ([part(type="image_url", image_url={})], "messages[0].content[1].type", "unsupported_value"),
        ([part(type=["text"])], "messages[0].content[1].type", "unsupported_value"),
        ([part(text="a")], "messages[0].content[1].type", "missing_required_parameter"),
        ([part(type="text")], "messages[0].content[1].text", "missing_required_parameter"),
        ([part(type="text", text=1)], "messages[0].content[1].text", "invalid_type"),
        ([part(type="text", text="\udfff")], "messages[0].content[1].text", "invalid_value"),
        ([part(type="text", text="a", x=1)], "messages[0].content[1].x", "unknown_parameter"),
        ([{**USER, "name": 1}], "messages[0].name", "invalid_type"),
        ([{**USER, "weight": 1}], "messages[0].weight", "unknown_parameter"),
        ([{"role": "assistant", "content": None, "tool_calls": [{}]}], "messages[0].tool_calls", "unsupported_value"),
        ([{"role": "assistant", "content": "", "refusal": "no"}], "messages[0].refusal", "unsupported_parameter"),
    ],
)
def test_bad_messages(messages: object, param: str, code: str) -> None:
    assert refused_chat(messages=messages) == (param, code)


# --- the request as a whole


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], (None, "invalid_type")),
        (None, (None, "invalid_type")),
        ("x", (None, "invalid_type")),
        ({}, ("model", "missing_required_parameter")),
        ({"model": "", "messages": [USER]}, ("model", "invalid_value")),
        ({"model": 1, "messages": [USER]}, ("model", "invalid_type")),
        ({"model": "m", "messages": [USER], "_schema": 1}, ("_schema", "unknown_parameter")),
        ({"model": "m", "messages": [USER], "\ud800": 1}, ("\\ud800", "unknown_parameter")),
        ({"model": "m", "messages": [USER], "unheard": None}, ("unheard", "unknown_parameter")),
        ({"model": "m", "messages": [USER], "prompt": "x"}, ("prompt", "unknown_parameter")),
    ],
)
def test_bad_bodies(body: object, expected: tuple[str | None, str]) -> None:
    assert refused(body) == expected


@pytest.mark.parametrize(
    ("prompt", "param", "code"),
    [
        (1, "prompt", "invalid_type"),
        (None, "prompt", "missing_required_parameter"),
        ("\ud800", "prompt", "invalid_value"),
        ([], "prompt", "empty_array"),
        ([1, "x"], "prompt[1]", "invalid_type"),
        ([1, True], "prompt[1]", "invalid_type"),
        ([1, -1], "prompt[1]", "invalid_value"),
        ([1, 2**31], "prompt[1]", "invalid_value"),
        (["x", 1], "prompt[1]", "invalid_type"),
        (["x", None], "prompt[1]", "invalid_type"),
        (["x", "\ud800"], "prompt[1]", "invalid_value"),
        ([[1], []], "prompt[1]", "empty_array"),
        ([[1], [2, 1.5]], "prompt[1][1]", "invalid_type"),
        ([[1], [[2]]], "prompt[1][0]", "invalid_type"),
        (["x"] * 2049, "prompt", "array_above_max_length"),
    ],
)
def test_bad_prompts(prompt: object, param: str, code: str) -> None:
    assert refused({"model": "m", "prompt": prompt}, COMPLETION) == (param, code)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Once", ("Once",)),
        (["Once", ""], ("Once", "")),
        ([1, 2], ((1, 2),)),
        ([[1, 2], [3]], ((1, 2), (3,))),
        (["Once", [3]], ("Once", (3,))),
    ],
)
def test_prompts(prompt: object, expected: tuple[object, ...]) -> None:
    task, _ = COMPLETION.parse({"model": "m", "prompt": prompt, "n": 2}, 7)
    assert isinstance(task, Completion)
    assert task.prompt == expected
    assert task.choices == 2 * len(expected)


@pytest.mark.parametrize(
    "given", [{"n": 2, "best_of": 1}, {"best_of": 2, "stream": True}, {"n": 2, "best_of": 3, "stream": True}]
)
def test_best_of_needs_more_than_n_and_no_stream(given: dict[str, Any]) -> None:
    assert refused({"model": "m", "prompt": "x", **given}, COMPLETION) == ("best_of", "invalid_value")


def test_best_of_is_n_unless_it_is_given() -> None:
    task, _ = COMPLETION.parse({"model": "m", "prompt": "x", "n": 3, "stream": True}, 7)
    assert isinstance(task, Completion)
    assert (task.n, task.best_of) == (3, 3)


def test_the_first_error_does_not_depend_on_the_order_of_the_keys() -> None:
    wrong = {"messages": [], "stop": [""], "n": 0, "temperature": 3, "model": 1}
    for body in (wrong, dict(reversed(wrong.items()))):
        assert refused(body) == ("model", "invalid_type")
    # Unknown names come before everything, as they stand: what looks missing is often just misspelt.
    assert refused({"mesages": [], "modle": 1}) == ("mesages", "unknown_parameter")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "line 1, column 1"),
        (b'{"a": 1,\n "b" 2}', "line 2, column 6"),
        (b"{'a': 1}", "line 1, column 2"),
        (b'{"a": 1} x', "Extra data"),
        (b'{"a": "\xff"}', "byte 7"),
        (b'{"a": "\xed\xa0\x80"}', "byte 7"),
        ('{"a": 1}'.encode("utf-16"), "byte 0"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1e999}', "1e999"),
        (b"9" * 5000, "digits"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested"),
    ],
)
def test_bad_json(raw: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        load_json(raw)
    assert words in caught.value.message
    assert caught.value.code == "invalid_json"


def test_good_json() -> None:
    assert load_json('\ufeff{"a": ["é", 1.5, null]}'.encode()) == {"a": ["é", 1.5, None]}


# --- errors


@pytest.fixture
def app() -> Flask:
    app = Flask("errors")
    app.config["MAX_CONTENT_LENGTH"] = 100
    errors.init_app(app)

    @app.post("/fail/<code>")
    def fail(code: str) -> str:
        raise failure(Failed(code, "It failed.", "prompt"))

    @app.post("/bug")
    def bug() -> str:
        raise ZeroDivisionError("secret")

    @app.post("/read")
    def read() -> str:
        return str(request.get_json())

    return app


def codes() -> set[str]:
    found: set[str] = set(CODES)
    classes = [InferqError]
    while classes:
        cls = classes.pop()
        if cls.__module__ == "shared.errors":
            found.add(cls.code)
            classes += cls.__subclasses__()
    return found


STATUS: dict[str, int] = {
    **dict.fromkeys(CODES, 400),
    "context_length_exceeded": 400,
    "unknown_event": 400,
    "model_not_found": 404,
    "job_not_found": 404,
    "cancelled": 409,
    "invalid_api_key": 401,
    "request_timeout": 408,
    "idempotency_key_reused": 422,
    "queue_full": 429,
    "store_unavailable": 503,
    "other_version": 503,
    "deadline_exceeded": 504,
}
REPEATABLE = {"model_load_error", "worker_lost", "internal_error", "unheard_of"}
SOON = {"queue_full": "5", "store_unavailable": "1", "other_version": "1"}
"""Codes that say when to come again."""


@pytest.mark.parametrize("code", sorted(codes() | {"unheard_of"}))
def test_every_code_has_its_answer(app: Flask, code: str) -> None:
    response = app.test_client().post(f"/fail/{code}")
    status = STATUS.get(code, 500)
    assert response.status_code == status
    error = response.get_json()["error"]
    kind = error.pop("type")
    assert error == {"message": "It failed.", "param": "prompt", "code": code}
    assert kind == {429: "rate_limit_error"}.get(status, "server_error" if status >= 500 else "invalid_request_error")
    assert response.headers.get("x-should-retry") == (None if code in REPEATABLE | SOON.keys() else "false")
    assert response.headers.get("Retry-After") == SOON.get(code)
    error = InferqError("It failed.", param="prompt", code=code)
    assert render_failure(error, outcome(code).status) == response.get_json()


@pytest.mark.parametrize(
    ("method", "path", "data", "kind", "status", "code", "words"),
    [
        ("GET", "/v1/unheard", b"", "text/plain", 404, "not_found", "GET /v1/unheard"),
        ("GET", "/bug", b"", "text/plain", 405, "method_not_allowed", "POST"),
        ("POST", "/read", b"x" * 101, "application/json", 413, "request_entity_too_large", "100 bytes"),
        ("POST", "/read", b"{}", "text/plain", 415, "unsupported_media_type", "application/json"),
        ("POST", "/read", b"{", "application/json", 400, "bad_request", "request"),
    ],
)
def test_what_flask_refuses(
    app: Flask, method: str, path: str, data: bytes, kind: str, status: int, code: str, words: str
) -> None:
    response = app.test_client().open(path, method=method, data=data, content_type=kind)
    assert (response.status_code, response.content_type) == (status, "application/json")
    error = response.get_json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, code)
    assert words in error["message"]
    assert response.headers["x-should-retry"] == "false"
    if status == 405:
        assert {name.strip() for name in response.headers["Allow"].split(",")} == {"POST", "OPTIONS"}


def test_a_bug_is_logged_and_not_told(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    response = app.test_client().post("/bug")
    assert response.status_code == 500
    assert response.get_json()["error"]["code"] == "internal_error"
    assert "secret" not in response.text
    assert "ZeroDivisionError: secret" in caplog.text


# --- the docs


def documented() -> set[tuple[str, str, str]]:
    """(parameter, endpoint, values) of every row of the parameter tables."""
    rows = re.findall(r"^\| `([^`]+)` \| (both|chat|completions) \| ([^|]+) \|", DOCS.read_text("utf-8"), re.M)
    return {
        (name, endpoint, values)
        for name, where, values in rows
        for endpoint in (("chat", "completions") if where == "both" else (where,))
    }


def known() -> dict[tuple[str, str], Any]:
    """(parameter, endpoint) -> field."""
    schemas: dict[str, dict[str, Schema]] = {
        "chat": {"": ChatSchema(), "messages[].": MessageSchema(), "stream_options.": StreamOptions()},
        "completions": {"": CompletionSchema(), "stream_options.": StreamOptions()},
    }
    return {
        (prefix + name, endpoint): field
        for endpoint, parts in schemas.items()
        for prefix, schema in parts.items()
        for name, field in schema.fields.items()
    }


def test_docs_name_every_parameter_and_no_other() -> None:
    assert {(name, endpoint) for name, endpoint, _ in documented()} == set(known())


def test_docs_tell_what_the_unsupported_are_accepted_at() -> None:
    for key, field in known().items():
        if isinstance(field, Only):
            assert (*key, " or ".join(f"`{word}`" for word in field.words or ["null"])) in documented()


def test_docs_name_every_code() -> None:
    text = DOCS.read_text("utf-8")
    rows = re.findall(r"^\| ([^|]*) \| (\d{3}) \|", text, re.M)
    told = {code: int(status) for cell, status in rows for code in re.findall(r"`(\w+)`", cell)}
    assert told == {code: STATUS.get(code, 500) for code in codes()}
