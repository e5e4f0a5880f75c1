"""What else Ollama's clients ask for: models, vectors, and what inferq does not do."""

from __future__ import annotations

import json

import httpx2 as httpx
import pytest

from shared.version import VERSION
from tests.ollama import CHAT, chat, refused, said, whole


def test_vectors(http: httpx.Client) -> None:
    two = http.post("/api/embed", json={"model": "echo", "input": ["red fox", "hound"], "options": {}}).json()
    one = http.post("/api/embed", json={"model": "echo", "input": "red fox", "dimensions": 0}).json()
    old = http.post("/api/embeddings", json={"model": "echo", "prompt": "red fox"}).json()
    assert two["embeddings"][0] == one["embeddings"][0] == old["embedding"]
    assert (len(two["embeddings"]), two["prompt_eval_count"]) == (2, 3)
    assert http.post("/api/embed", json={"model": "echo"}).json() == {"model": "echo", "embeddings": []}
    assert http.post("/api/embeddings", json={"model": "echo"}).json() == {"embedding": []}
    long = {"model": "echo", "input": "word " * 33_000}
    assert len(http.post("/api/embed", json=long).json()["embeddings"]) == 1
    assert "input" in refused(http.post("/api/embed", json={**long, "truncate": False}), 400)
    assert "input[1]" in refused(http.post("/api/embed", json={"model": "echo", "input": ["a", ""]}), 400)


def test_models(http: httpx.Client) -> None:
    [listed] = http.get("/api/tags").json()["models"]
    assert (listed["name"], listed["model"]) == ("echo:latest", "echo:latest")
    assert len(listed["digest"]) == 64
    assert {"completion", "tools", "thinking", "embedding"} <= set(listed["capabilities"])
    [loaded] = http.get("/api/ps").json()["models"]
    assert (loaded["name"], loaded["context_length"]) == ("echo:latest", 32_768)
    for name in ({"model": "echo"}, {"name": "echo:latest"}):
        shown = http.post("/api/show", json=name).json()
        assert shown["model_info"]["echo.context_length"] == 32_768
        assert shown["capabilities"] == listed["capabilities"]
    assert "model" in refused(http.post("/api/show", json={}), 400)
    assert "none" in refused(http.post("/api/show", json={"model": "none"}), 404)
    assert http.get("/api/version").json()["inferq"] == VERSION
    assert (http.head("/").status_code, http.head("/api/tags").status_code) == (200, 200)
    assert http.get("/api/chat", params={"prompt": "Hello there"}).text == "Hello there"


def test_a_name_with_latest_is_known_everywhere(http: httpx.Client) -> None:
    assert whole(http, CHAT, chat("a", model="echo:latest"))["model"] == "echo:latest"
    assert http.get("/v1/models/echo:latest").json()["root"] == "echo"
    told = http.post("/v1/chat/completions", json={"model": "echo:latest", "messages": said("a")}).json()
    assert told["model"] == "echo"


def test_a_model_that_is_there_is_pulled(http: httpx.Client) -> None:
    told = [json.loads(line) for line in http.post("/api/pull", json={"model": "echo"}).text.splitlines()]
    assert told[-1] == {"status": "success"}
    assert http.post("/api/pull", json={"name": "echo", "stream": False}).json() == {"status": "success"}
    assert "inferq pull" in refused(http.post("/api/pull", json={"model": "none"}), 404)


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("POST", "/api/copy", 501, "inferq pull"),
        ("POST", "/api/create", 501, "inferq pull"),
        ("POST", "/api/push", 501, "inferq pull"),
        ("DELETE", "/api/delete", 501, "inferq pull"),
        ("POST", "/api/blobs/sha256:00", 501, "inferq pull"),
        ("POST", "/api/me", 404, "Ollama's"),
        ("GET", "/api/generate", 405, "only"),
        ("POST", "/api/generat", 404, "/api/generate"),
    ],
)
def test_what_is_not_done_is_said_in_ollamas_words(
    http: httpx.Client, method: str, path: str, status: int, words: str
) -> None:
    assert words in refused(http.request(method, path, json={"model": "echo"}), status)
