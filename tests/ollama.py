"""Requests as Ollama's clients write them, and what they read from the answers."""

from __future__ import annotations

import json
from typing import Any

import httpx2 as httpx

CHAT, GENERATE = "/api/chat", "/api/generate"


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "echo", "messages": said(text), **more}


def prompt(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "echo", "prompt": text, **more}


def whole(http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = http.post(path, json={**body, "stream": False})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    told: dict[str, Any] = answer.json()
    return told


def lines(http: httpx.Client, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def joined(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    """What a stream says, as one object."""
    *_, last = pieces
    assert [piece["done"] for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    if "message" not in last:
        return {**last, **{name: "".join(piece.get(name, "") for piece in pieces) for name in ("response", "thinking")}}
    messages = [piece["message"] for piece in pieces]
    texts = {name: "".join(one.get(name, "") for one in messages) for name in ("content", "thinking")}
    calls = [call for one in messages for call in one.get("tool_calls", ())]
    return {**last, "message": {"role": "assistant", **texts, "tool_calls": calls}}


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"error"}
    return str(answer.json()["error"])
