"""Bodies of requests: messages, prompts, and JSON as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.schemas.body import load_json
from shared.errors import InvalidRequest
from shared.protocol import (
    Completion,
    FineMessage,
    Message,
)
from tests.parsing import COMPLETION, DEFAULTS, USER, chat, refused, refused_chat

# --- messages


def empty(role: str) -> list[dict[str, Any]]:
    contents: list[Any] = [None, "", []]
    return [{"role": role}, *({"role": role, "content": content} for content in contents)]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"role": "developer", "content": "x"}, Message("system", "x")),
        ({"role": "system", "content": ""}, Message("system", "")),
        ({"role": "user", "content": "a\0b", "name": "bob"}, Message("user", "a\0b")),
        ({"role": "assistant", "content": "x", "tool_calls": [], "annotations": []}, Message("assistant", "x")),
        ({"role": "assistant", "content": "x", "function_call": {}, "images": []}, Message("assistant", "x")),
        ({"role": "assistant", "content": "x", "prefix": False, "partial": False}, Message("assistant", "x")),
        *((turn, Message("assistant", "")) for turn in empty("assistant")),
        *((turn, Message("system", "")) for turn in empty("system")),
        *((turn, Message("user", "")) for turn in empty("user")),
        ({"role": "assistant", "reasoning": "hm", "tool_calls": None}, FineMessage("assistant", "", reasoning="hm")),
        ({**USER, **{f"x{number}": [{}] for number in range(62)}}, Message("user", "Hi")),
        ({**USER, "": 1, "\ud800": "\ud800", "content_": None}, Message("user", "Hi")),
    ],
)
def test_messages(message: dict[str, Any], expected: Message) -> None:
    assert chat(messages=[USER, message])[0].messages[1] == expected


def written(*texts: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": text} for text in texts]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (written("a"), "a"),
        (written("a", " b", "c\n"), "a\n b\nc\n"),
        (written("", "a"), "a"),
        (written("", "", "a", "", "b", ""), "a\n\nb\n"),
        (written("", ""), ""),
        ([{"type": "input_text", "text": "a"}, {"type": "output_text", "text": "b", "annotations": []}], "a\nb"),
        (["a", {"text": "b"}, {"type": None, "text": "c"}], "a\nb\nc"),
        ([{"type": "refusal", "refusal": "no"}, {"type": "text", "text": None}], "no\n"),
        (
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "signature": "x"},
                {"type": "redacted_thinking", "data": "x"},
                *written("a"),
                {"type": "reasoning", "text": "hm"},
            ],
            "a",
        ),
        ([{"type": "reasoning"}], ""),
        ([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}, "": None, "id": 7}], "a"),
    ],
)
def test_parts(parts: list[dict[str, Any]], expected: str) -> None:
    """As llama.cpp's `common_chat_msg::to_json_oaicompat` joins them."""
    assert chat(messages=[USER, {"role": "assistant", "content": parts}])[0].messages[1].content == expected


MANY = [f"x{number}" for number in range(63)]


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
        ([{"role": "\ud800", "content": "x"}], "messages[0].role", "invalid_value"),
        ([{"role": 1, "content": "x"}], "messages[0].role", "invalid_type"),
        ([{"role": "user", "content": 1}], "messages[0].content", "invalid_type"),
        ([{"role": "user", "content": "\ud83d"}], "messages[0].content", "invalid_value"),
        ([{"role": "user", "content": [1]}], "messages[0].content[0]", "invalid_type"),
        ([{"role": "user", "content": ["\ud800"]}], "messages[0].content[0]", "invalid_value"),
        ([{"role": "user", "content": [0] * 2049}], "messages[0].content", "array_above_max_length"),
        ([part(type="image_url", image_url={})], "messages[0].content[1].type", "unsupported_value"),
        ([part(type=["text"])], "messages[0].content[1].type", "unsupported_value"),
        ([part(x="a")], "messages[0].content[1].type", "missing_required_parameter"),
        ([part(type="text")], "messages[0].content[1].text", "missing_required_parameter"),
        ([part(type="text", text=1)], "messages[0].content[1].text", "invalid_type"),
        ([part(type="text", text="\udfff")], "messages[0].content[1].text", "invalid_value"),
        ([part(type="input_audio", input_audio={})], "messages[0].content[1].type", "unsupported_value"),
        ([part(type="refusal", text="a")], "messages[0].content[1].refusal", "missing_required_parameter"),
        ([part(type="text", text="a", **dict.fromkeys(MANY))], "messages[0].content[1]", "invalid_value"),
        ([{**USER, **dict.fromkeys(MANY)}], "messages[0]", "invalid_value"),
        ([{**USER, "images": ["aGk="]}], "messages[0].images", "unsupported_value"),
        ([{**USER, "prefix": True}], "messages[0].prefix", "unsupported_value"),
        ([{**USER, "partial": True}], "messages[0].partial", "unsupported_value"),
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
        ({"model": "m", "messages": [USER], "": 1}, ("", "unknown_parameter")),
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
        ([1.0, 1.5], "prompt[1]", "invalid_type"),
        ([1.5], "prompt[0]", "invalid_type"),
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
        ([1.0, 2], ((1, 2),)),
        ([[1], [2, 3.0]], ((1,), (2, 3))),
    ],
)
def test_prompts(prompt: object, expected: tuple[object, ...]) -> None:
    task, _ = COMPLETION.parse({"model": "m", "prompt": prompt, "n": 2}, 7, DEFAULTS)
    assert isinstance(task, Completion)
    assert task.prompt == expected
    assert task.choices == 2 * len(expected)


@pytest.mark.parametrize(
    "given", [{"n": 2, "best_of": 1}, {"best_of": 2, "stream": True}, {"n": 2, "best_of": 3, "stream": True}]
)
def test_best_of_needs_more_than_n_and_no_stream(given: dict[str, Any]) -> None:
    assert refused({"model": "m", "prompt": "x", **given}, COMPLETION) == ("best_of", "invalid_value")


def test_best_of_is_n_unless_it_is_given() -> None:
    task, _ = COMPLETION.parse({"model": "m", "prompt": "x", "n": 3, "stream": True}, 7, DEFAULTS)
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
        (b"", "too early"),
        (b'{"a": 1,\n "b" 2}', "line 2, column 6"),
        (b"{'a': 1}", "line 1, column 2"),
        (b'{"a": 1} x', "trailing characters"),
        (b'{"a": "\xff"}', "byte 7"),
        (b'{"a": "\xed\xa0\x80"}', "byte 7"),
        ('{"a": 1}'.encode("utf-16"), "line 1, column 1"),
        (b'{"a": NaN}', "line 1, column 7"),
        (b'{"a": -Infinity}', "line 1, column 8"),
        (b'{"a": 1e999}', "a number is too large"),
        (b"9" * 5000, "digits"),
        (b"[" * 100_000, "nested"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested"),
        (b'"a\tb"', "line 1, column 3"),
        (b'"\\ude00"', "surrogate"),
        (b'"cut \\ud83d"', "surrogate"),
    ],
)
def test_bad_json(raw: bytes, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        load_json(raw)
    assert words in caught.value.message
    assert caught.value.code == "invalid_json"


def test_good_json() -> None:
    assert load_json('\ufeff{"a": ["é", 1.5, null]}'.encode()) == {"a": ["é", 1.5, None]}
