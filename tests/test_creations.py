"""What clients make that is stored, once however often they ask for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest

from tests.batches import nobody, request
from tests.calls import problem

Make = Callable[[httpx.Client, str, dict[str, str]], httpx.Response]
"""Asks for a thing that a word tells from another."""


def _file(http: httpx.Client, word: str, headers: dict[str, str]) -> httpx.Response:
    form = {"file": ("a.txt", f"content {word}".encode(), "text/plain")}
    return http.post("/v1/files", data={"purpose": "user_data"}, files=form, headers=headers)


def _upload(http: httpx.Client, word: str, headers: dict[str, str]) -> httpx.Response:
    asked = {"bytes": 3, "filename": word, "mime_type": "text/plain", "purpose": "user_data"}
    return http.post("/v1/uploads", json=asked, headers=headers)


def _conversation(http: httpx.Client, word: str, headers: dict[str, str]) -> httpx.Response:
    asked = {"metadata": {"word": word}, "items": [{"role": "user", "content": "Hello"}]}
    return http.post("/v1/conversations", json=asked, headers=headers)


_batches = dict[str, dict[str, Any]]()


def _batch(http: httpx.Client, word: str, headers: dict[str, str]) -> httpx.Response:
    if word not in _batches:
        line = httpx.Response(200, json=request("a", model=nobody())).content
        form = {"file": ("lines.jsonl", line, "application/jsonl")}
        file = http.post("/v1/files", data={"purpose": "batch"}, files=form).json()["id"]
        _batches[word] = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return http.post("/v1/batches", json=_batches[word], headers=headers)


@pytest.mark.parametrize("make", [_file, _upload, _conversation, _batch])
class TestOnce:
    def test_with_a_key(self, http: httpx.Client, make: Make) -> None:
        key, word = {"Idempotency-Key": uuid4().hex}, uuid4().hex
        first, again = make(http, word, key).json(), make(http, word, key).json()
        assert again["id"] == first["id"]
        assert problem(make(http, uuid4().hex, key), 422)["code"] == "idempotency_key_reused"
        assert make(http, word, {"Idempotency-Key": uuid4().hex}).json()["id"] != first["id"]

    def test_as_the_openai_client_tries_again(self, http: httpx.Client, make: Make) -> None:
        word, count = uuid4().hex, "x-stainless-retry-count"
        first, other = (make(http, word, {count: "0"}).json()["id"] for _ in range(2))
        assert other != first, "it was asked for twice"
        assert make(http, word, {count: "1"}).json()["id"] == other
        assert make(http, uuid4().hex, {count: "1"}).json()["id"] not in (first, other), "what was lost is made"


def test_a_part_and_items_too(http: httpx.Client) -> None:
    upload = _upload(http, "a", {}).json()["id"]
    key = {"Idempotency-Key": uuid4().hex}

    def part(data: bytes) -> httpx.Response:
        return http.post(f"/v1/uploads/{upload}/parts", files={"data": ("a", data)}, headers=key)

    made = part(b"one").json()["id"]
    assert part(b"one").json()["id"] == made
    problem(part(b"two"), 422)
    conversation = _conversation(http, "a", {}).json()["id"]
    items = {"items": [{"role": "user", "content": "once"}]}
    for _ in range(2):
        http.post(f"/v1/conversations/{conversation}/items", json=items, headers=key).raise_for_status()
    assert len(http.get(f"/v1/conversations/{conversation}/items").json()["data"]) == 2


def test_a_batch_is_told_also_when_its_file_is_gone(http: httpx.Client) -> None:
    key, word = {"Idempotency-Key": uuid4().hex}, uuid4().hex
    first = _batch(http, word, key).json()
    http.delete(f"/v1/files/{first['input_file_id']}").raise_for_status()
    assert _batch(http, word, key).json()["id"] == first["id"]
