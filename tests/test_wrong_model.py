"""A model that is asked for what it cannot do: who can is named, and whoever names none gets one that can."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from shared import registry
from shared.card import Ability, Card
from shared.registry import Worker
from tests.calls import CHATS, COMPLETIONS, chat, completion, problem
from tests.stack import Stack, wait_for

EMBED: tuple[str, dict[str, Any]] = ("/v1/embeddings", {"input": "a"})
RERANK: tuple[str, dict[str, Any]] = ("/v1/rerank", {"query": "a", "documents": ["a"]})
MESSAGE = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9}
WRITES: list[tuple[str, dict[str, Any]]] = [
    (CHATS, chat("Hi")),
    (COMPLETIONS, completion("Hi")),
    ("/v1/responses", {"input": "Hi"}),
    ("/v1/messages", MESSAGE),
    ("/v1/tokenize", {"messages": MESSAGE["messages"]}),
]


@pytest.fixture(scope="module")
def few(echo: Stack) -> Iterator[Stack]:
    """Beside echo, which can all, three models that can little; their worker only says that it is there."""
    cards = [
        card("a-chat", Ability.COMPLETION, Ability.CHAT),
        card("b-embed", Ability.EMBEDDING),
        card("c-rank", Ability.RERANK),
    ]
    for each in cards:
        announce(echo, each)
    wait_for(lambda: len(echo.http().get("/v1/models").json()["data"]) == 4, "the models")
    time.sleep(1.1)  # the other gateway process looks once a second
    yield echo
    for each in cards:
        registry.withdraw(echo.redis, each.id)
        echo.redis.zrem("iq:live:models", each.id)


def card(name: str, *abilities: Ability) -> Card:
    return Card(
        name, "made-up", "", 100, 1, 1, capabilities=abilities, embedding=384 * (Ability.EMBEDDING in abilities)
    )


def announce(stack: Stack, card: Card) -> None:
    registry.announce(stack.redis, Worker(card.id, card.id, "host", 1, int(time.time()), card))


def refusal(stack: Stack, path: str, body: dict[str, Any], model: str) -> str:
    answer = stack.http().post(path, json={**body, "model": model})
    if path == "/v1/messages":
        assert answer.status_code == 400
        return str(answer.json()["error"]["message"])
    error = problem(answer, 400)
    assert (error["param"], error["code"]) == ("model", "unsupported_value")
    return str(error["message"])


@pytest.mark.parametrize(("path", "body"), WRITES, ids=lambda each: str(each)[:20])
def test_what_only_embeds_writes_nothing(few: Stack, path: str, body: dict[str, Any]) -> None:
    assert refusal(few, path, body, "b-embed").endswith("Models that can: a-chat, echo.")


def test_what_only_chats_has_no_vectors(few: Stack) -> None:
    assert refusal(few, *EMBED, "a-chat") == "The model 'a-chat' does not embed texts. Models that can: b-embed, echo."
    assert (
        refusal(few, *RERANK, "a-chat") == "The model 'a-chat' does not rank documents. Models that can: c-rank, echo."
    )


def test_the_list_of_models_tells_it(few: Stack) -> None:
    listed = {each["id"]: each for each in few.http().get("/v1/models").json()["data"]}
    told = {name: (each["capabilities"], each["dimensions"], each["meta"]["n_embd"]) for name, each in listed.items()}
    assert told["b-embed"] == (["embedding"], [384], 384)
    assert told["c-rank"] == (["rerank"], [], None)


def test_where_none_can_it_says_how_to_serve_one(served: Stack) -> None:
    announce(served, card("a-chat", Ability.COMPLETION, Ability.CHAT))
    http = served.http()
    wait_for(lambda: http.get("/v1/models").json()["data"], "the model")
    assert "No model here can: `inferq up minilm` serves one." in refusal(served, *EMBED, "a-chat")
    assert "No model here can: `inferq up FILE` serves one" in refusal(served, *RERANK, "a-chat")
    registry.withdraw(served.redis, "a-chat")
    announce(served, card("b-embed", Ability.EMBEDDING))
    served.redis.zrem("iq:live:models", "a-chat")
    wait_for(lambda: [each["id"] for each in http.get("/v1/models").json()["data"]] == ["b-embed"], "the other")
    for path, body in WRITES:
        assert "No model here can: `inferq up smollm2` serves one." in refusal(served, path, body, "b-embed")
    error = problem(http.get("/api/chat", params={"prompt": "Hi"}), 400)
    assert "`inferq up smollm2`" in error["message"]
    told = http.get("/").json()
    assert "/v1/embeddings" in told["curl"]
    assert "embeddings.create" in told["python"]


def test_who_names_none_gets_one_that_can(few: Stack) -> None:
    """Of echo alone the worker is there to answer: who is to be asked of the others is told by where the job waits."""
    for path, body, model in ((*EMBED, "b-embed"), (*RERANK, "c-rank"), (*WRITES[4], "a-chat")):
        answer = few.http().post(path, json=body, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202, answer.text
        assert few.http().delete(f"/v1/jobs/{answer.json()['id']}").json()["model"] == model
    assert few.http().get("/v1/props").json()["model_alias"] == "a-chat"
