"""The server of Open WebUI, by what its page sends, out of the box: with the tools that it has of its own."""

from __future__ import annotations

import json
import os
import socket
import time
import urllib.request
from pathlib import Path
from typing import Any

from checks import QUESTION, SEPARATORS, URL, WORDS, calling, check, equal, fetch, run, serving

with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    PORT = probe.getsockname()[1]
UI = f"http://127.0.0.1:{PORT}"
USER = {"name": "user", "email": "user@example.org", "password": "secret-of-a-test"}
Path("data").mkdir()
os.environ |= {
    "DATA_DIR": str(Path("data").resolve()),
    "OPENAI_API_BASE_URL": f"{URL}/v1",
    "OPENAI_API_KEY": "none",
    "ENABLE_OLLAMA_API": "false",
    "WEBUI_SECRET_KEY": "secret-of-a-test",
    "RAG_EMBEDDING_ENGINE": "openai",  # its own would be fetched from a hub at the start
    "OFFLINE_MODE": "true",
    "SCARF_NO_ANALYTICS": "true",
    "DO_NOT_TRACK": "true",
    "ANONYMIZED_TELEMETRY": "false",
}
token: dict[str, str] = {}


def asked(text: str, model: str = "echo", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def chat(**body: Any) -> Any:
    return fetch(f"{UI}/api/chat/completions", body, token)


@check
def sign_up_and_in() -> None:
    fetch(f"{UI}/api/v1/auths/signup", USER)
    signed = fetch(f"{UI}/api/v1/auths/signin", {key: USER[key] for key in ("email", "password")})
    token["Authorization"] = f"Bearer {signed['token']}"
    equal(signed["role"], "admin")


@check
def models() -> None:
    listed = {model["id"] for model in fetch(f"{UI}/api/models", headers=token)["data"]}
    assert {"echo", "smollm2"} <= listed, listed


@check
def chat_at_once() -> None:
    answer = chat(**asked(WORDS))
    equal(answer["choices"][0]["message"]["content"], WORDS)
    equal((answer["usage"]["prompt_tokens"], answer["usage"]["completion_tokens"]), (20, 20))


@check
def chat_streamed() -> None:
    for told in (WORDS, SEPARATORS):
        body = json.dumps(asked(told, stream=True)).encode()
        headers = {"Content-Type": "application/json", **token}
        with urllib.request.urlopen(
            urllib.request.Request(f"{UI}/api/chat/completions", body, headers), timeout=60
        ) as answer:
            data = [line.removeprefix("data: ") for line in answer.read().decode().split("\n") if line[:6] == "data: "]
        chunks = [json.loads(line) for line in data if line.strip() != "[DONE]"]
        pieces = [choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", [])]
        equal("".join(pieces), told)


def answer_of_the_page(told: str) -> str:
    """With a session and a chat, whose answer is stored there, as the page does."""
    question, answer = "question-1", "answer-1"
    turns: dict[str, dict[str, Any]] = {
        question: {"id": question, "parentId": None, "childrenIds": [answer], "role": "user", "content": told},
        answer: {"id": answer, "parentId": question, "childrenIds": [], "role": "assistant", "content": ""},
    }
    history = {"messages": turns, "currentId": answer}
    stored = {"title": "a chat", "models": ["echo"], "messages": [*turns.values()], "history": history}
    made = fetch(f"{UI}/api/v1/chats/new", {"chat": stored}, token)["id"]
    begun = chat(
        **asked(told, stream=True),
        session_id="session-1",
        chat_id=made,
        id=answer,
        background_tasks={"title_generation": False, "tags_generation": False, "follow_up_generation": False},
    )
    assert begun.get("task_id") or begun.get("task_ids") or begun.get("status"), begun
    end = time.monotonic() + 120
    seen: Any = None
    while time.monotonic() < end:
        seen = fetch(f"{UI}/api/v1/chats/{made}", headers=token)["chat"]["history"]["messages"][answer]
        if seen.get("error") or seen.get("done"):
            break
        time.sleep(0.5)
    equal(seen.get("error"), None)
    return str(seen.get("content"))


@check
def chat_of_the_page() -> None:
    equal(answer_of_the_page(WORDS), WORDS)


@check
def tool_of_the_page() -> None:
    """One that it offers of its own, and runs: echo calls it, and says what it has given."""
    told = json.loads(answer_of_the_page(calling(("calculate_timestamp", {"days_ago": 3}))))
    equal(told["current_timestamp"] - told["calculated_timestamp"], 3 * 24 * 3600)


@check
def a_real_model() -> None:
    text = chat(**asked(QUESTION, "smollm2", temperature=0))["choices"][0]["message"]["content"]
    assert "Paris" in text, text


with serving("open-webui", "serve", "--host", "127.0.0.1", "--port", str(PORT), at=f"{UI}/health", seconds=900):
    run()
