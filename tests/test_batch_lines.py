"""What a batch's file may hold, and the lines of results."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterable
from typing import Any

import pytest

from gateway.batches.lines import (
    LONGEST_CUSTOM_ID,
    MOST_ERRORS,
    MOST_LINES,
    MOST_REQUESTS,
    BatchLine,
    Inspection,
    read_line,
)
from gateway.batches.results import CANCELLED, EXPIRED, answered, line_id, unanswered

CHATS = "/v1/chat/completions"


def line(custom_id: object = "a", **changed: object) -> bytes:
    """A request as JSON, without what is `...`."""
    asked = {"custom_id": custom_id, "method": "POST", "url": CHATS, "body": {"model": "echo"}, **changed}
    return json.dumps({name: value for name, value in asked.items() if value is not ...}).encode()


def inspect(lines: Iterable[bytes]) -> Inspection:
    found = Inspection(CHATS)
    for each in lines:
        found.look(each)
    found.finish()
    return found


def test_what_a_line_asks_for() -> None:
    found = read_line(line("日本", extra=[1]), 1, CHATS)
    assert isinstance(found, BatchLine)
    assert (found.custom_id, json.loads(found.body)) == ("日本", {"model": "echo"})


BAD: dict[str, tuple[bytes, str, str | None]] = {
    "no JSON": (b"custom_id: a", "invalid_json_line", None),
    "half of a line": (line()[:-2], "invalid_json_line", None),
    "two in one line": (line() + b" " + line(), "invalid_json_line", None),
    "an array": (b"[" + line() + b"]", "invalid_request", None),
    "a number": (b"7", "invalid_request", None),
    "very deep": (b'{"custom_id": ' + b"[" * 100_000, "invalid_json_line", None),
    "not UTF-8": (line().replace(b'"a"', b'"\xff"'), "invalid_type", "custom_id"),
    "half a pair": (line().replace(b'"a"', b'"\\ud800"'), "invalid_json_line", None),
    "no custom_id": (line(...), "missing_required_parameter", "custom_id"),
    "null custom_id": (line(None), "missing_required_parameter", "custom_id"),
    "a number as custom_id": (line(7), "invalid_type", "custom_id"),
    "an empty custom_id": (line(""), "invalid_value", "custom_id"),
    "a long custom_id": (line("a" * (LONGEST_CUSTOM_ID + 1)), "invalid_value", "custom_id"),
    "no method": (line(method=...), "missing_required_parameter", "method"),
    "GET": (line(method="GET"), "invalid_method", "method"),
    "no url": (line(url=...), "missing_required_parameter", "url"),
    "another url": (line(url="/v1/embeddings"), "url_mismatch", "url"),
    "no body": (line(body=...), "missing_required_parameter", "body"),
    "null body": (line(body=None), "missing_required_parameter", "body"),
    "a body of text": (line(body="{}"), "invalid_type", "body"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_line(name: str) -> None:
    raw, code, param = BAD[name]
    (error,) = inspect([line("first"), b"", raw, line("last")]).errors
    assert (error.code, error.param, error.line) == (code, param, 3)
    assert len(error.message) < 300


def test_a_file_without_requests() -> None:
    for lines in ([], [b"", b"  \r"]):
        (error,) = inspect(lines).errors
        assert (error.code, error.line) == ("empty_file", None)


def test_each_has_a_custom_id_of_its_own() -> None:
    found = inspect([line("a"), line("b", body={"model": "other"}), b"", line("a"), line("a")])
    assert [(each.code, each.param, each.line) for each in found.errors] == [
        ("duplicate_custom_id", "custom_id", 4),
        ("duplicate_custom_id", "custom_id", 5),
    ]
    assert "Line 1 " in found.errors[1].message
    assert (found.total, found.model) == (4, "echo")


def test_some_errors_are_enough() -> None:
    assert len(inspect([b"{"] * 1000).errors) == MOST_ERRORS


def test_many_requests() -> None:
    """50,000 of them, whose custom_ids take no memory; and one more."""
    one = line(f"NUMBER {'x' * 400}")
    tracemalloc.start()
    found = inspect(one.replace(b"NUMBER", b"%d" % number) for number in range(MOST_REQUESTS))
    assert (found.total, found.errors) == (MOST_REQUESTS, [])
    assert tracemalloc.get_traced_memory()[1] < 16_000_000
    tracemalloc.stop()
    found.look(b"")
    assert not found.errors
    found.look(line("more"))
    assert [(each.code, each.line) for each in found.errors] == [("too_many_tasks", MOST_REQUESTS + 2)]
    assert found.over


def test_blank_lines_have_an_end() -> None:
    found = Inspection("/v1/chat/completions")
    found.look(line("a"))
    while not found.over:
        found.look(b"\r")
    assert [(each.code, each.line) for each in found.errors] == [("too_many_tasks", MOST_LINES + 1)]


def test_what_a_model_is_does_not_matter_yet() -> None:
    for body in ({"model": 7}, {}, {"model": ["a"] * 9}, {"model": "a" * 1_000_000}):
        assert inspect([line(body=body)]).model == ""


def test_results() -> None:
    identity = line_id("batch_1", 3)
    assert identity == line_id("batch_1", 3) != line_id("batch_1", 4)
    assert read(answered(identity, "a", 200, "chatcmpl-1", {"text": "\u2028"})) == {
        "id": identity,
        "custom_id": "a",
        "response": {"status_code": 200, "request_id": "chatcmpl-1", "body": {"text": "\u2028"}},
        "error": None,
    }
    for code, message in (EXPIRED, CANCELLED):
        told = read(unanswered(identity, "a", code, message))
        assert (told["response"], told["error"]) == (None, {"code": code, "message": message})


def read(raw: bytes) -> dict[str, Any]:
    """That of one line."""
    assert len(raw.decode().splitlines()) == 1
    assert raw.endswith(b"\n")
    found: dict[str, Any] = json.loads(raw)
    return found
