"""Every list that is told in pages: the unmodified client walks it to its end, and no page leaves it unsure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2 as httpx
import pytest
from openai import OpenAI

from tests.calls import problem, said
from tests.stack import Stack

MANY = 5


@dataclass(frozen=True)
class Listed:
    """A list of `MANY` things: where it is, and how the client walks it."""

    path: str
    walk: Callable[..., Iterable[Any]]


def _files(client: OpenAI) -> Listed:
    for old in client.files.list(purpose="evals"):
        client.files.delete(old.id)
    for number in range(MANY):
        client.files.create(file=(f"{number}.txt", b"x"), purpose="evals")
    return Listed("/v1/files?purpose=evals", lambda **how: client.files.list(purpose="evals", **how))


def _chats(client: OpenAI) -> Listed:
    mark = uuid4().hex
    for number in range(MANY):
        client.chat.completions.create(
            model="echo", messages=said(str(number)), store=True, metadata={"of": mark}
        )  # fmt: skip
    return Listed(
        f"/v1/chat/completions?metadata[of]={mark}",
        lambda **how: client.chat.completions.list(metadata={"of": mark}, **how),
    )


def _messages(client: OpenAI) -> Listed:
    messages = [turn for number in range(MANY) for turn in said(str(number))]
    chat = client.chat.completions.create(model="echo", messages=messages, store=True)
    return Listed(
        f"/v1/chat/completions/{chat.id}/messages?", lambda **how: client.chat.completions.messages.list(chat.id, **how)
    )


def _items(client: OpenAI) -> Listed:
    conversation = client.conversations.create(items=_said())
    return Listed(
        f"/v1/conversations/{conversation.id}/items?",
        lambda **how: client.conversations.items.list(conversation.id, **how),
    )


def _input_items(client: OpenAI) -> Listed:
    response = client.responses.create(model="echo", input=_said())
    return Listed(
        f"/v1/responses/{response.id}/input_items?",
        lambda **how: client.responses.input_items.list(response.id, **how),
    )


def _said() -> Any:
    return [{"role": "user", "content": str(number)} for number in range(MANY)]


LISTS = [_files, _chats, _messages, _items, _input_items]


@pytest.fixture(params=LISTS, ids=lambda made: made.__name__.strip("_"), scope="module")
def listed(request: pytest.FixtureRequest, stack: Stack) -> Listed:
    made: Listed = request.param(stack.client())
    return made


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_client_walks_it_to_its_end(http: httpx.Client, listed: Listed, order: str) -> None:
    whole = http.get(f"{listed.path}&order={order}&limit={MANY}").json()
    ids = [thing["id"] for thing in whole["data"]]
    assert len(set(ids)) == MANY
    assert not whole["has_more"]
    for limit in (1, 2, MANY, MANY + 1):
        assert [thing.id for thing in listed.walk(limit=limit, order=order)] == ids


def test_every_page_says_where_it_stands(http: httpx.Client, listed: Listed) -> None:
    after, seen = "", 0
    while True:
        page = http.get(f"{listed.path}&limit=2&after={after}").json()
        assert page.keys() == {"object", "data", "first_id", "last_id", "has_more"}
        assert page["object"] == "list"
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        after, seen = page["last_id"], seen + len(page["data"])
        if not page["has_more"]:
            break
    assert seen == MANY
    nothing: dict[str, Any] = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert http.get(f"{listed.path}&after={after}").json() == nothing
    assert list(listed.walk(after=after)) == []


def test_what_cannot_be_asked_is_refused(http: httpx.Client, listed: Listed) -> None:
    for query in ("limit=0", "limit=-1", "limit=x", "order=up", "before=x"):
        assert problem(http.get(f"{listed.path}&{query}"), 400)["param"] == query.partition("=")[0]
    assert problem(http.get(f"{listed.path}&after=unheard"), 404)["param"] == "after"


def test_batches_are_walked_to_their_end(http: httpx.Client, client: OpenAI) -> None:
    """Whoever else has some here."""
    lines = client.files.create(file=("a.jsonl", b"no JSON"), purpose="batch").id
    made = [
        client.batches.create(input_file_id=lines, endpoint="/v1/chat/completions", completion_window="24h").id
        for _ in range(MANY)
    ]
    whole = [batch.id for batch in client.batches.list(limit=2)]
    assert whole[:MANY] == made[::-1]
    assert len(set(whole)) == len(whole)
    last = http.get(f"/v1/batches?after={whole[-1]}").json()
    assert last == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert problem(http.get("/v1/batches?before=x"), 400)["param"] == "before"


def test_what_is_empty_ends(client: OpenAI) -> None:
    conversation = client.conversations.create()
    assert list(client.conversations.items.list(conversation.id)) == []
    assert list(client.chat.completions.list(metadata={"of": "nothing"})) == []
    assert list(client.files.list(purpose="fine-tune")) == []


def test_models_are_told_at_once(http: httpx.Client, client: OpenAI) -> None:
    """OpenAI's client knows no pages of them, and so has no end to look for."""
    assert http.get("/v1/models").json().keys() == {"object", "data"}
    assert not client.models.list().has_next_page()
