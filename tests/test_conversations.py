"""Conversations: what clients put into them, in pages, and what responses add, with the unmodified client."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2 as httpx
import pytest
from openai import NotFoundError, OpenAI
from openai.types.responses import ResponseInputItemParam

from gateway.conversations import LARGEST_LISTED
from gateway.schemas.conversation import render_item
from tests.calls import problem
from tests.stack import Stack

CONVERSATIONS = "/v1/conversations"
LARGE = "a text that is no fact any more " * 40
ALICE, BOB = "sk-alice-0123456789", "sk-bob-0123456789"


def said(text: str, role: Any = "user") -> ResponseInputItemParam:
    return {"type": "message", "role": role, "content": text}


def texts(items: Any) -> list[str]:
    """What messages say."""
    return [item.content[0].text for item in items]


@pytest.fixture(scope="module")
def strict(echo: Stack) -> OpenAI:
    return echo.client(_strict_response_validation=True)


def test_a_conversation_is_made_told_changed_and_removed(strict: OpenAI) -> None:
    made = strict.conversations.create(metadata={"topic": "tests"}, items=[said("Hello"), said(LARGE, "assistant")])
    assert made.id.startswith("conv_")
    assert (made.object, made.metadata) == ("conversation", {"topic": "tests"})
    assert strict.conversations.retrieve(made.id) == made
    assert texts(strict.conversations.items.list(made.id)) == [LARGE, "Hello"]
    changed = strict.conversations.update(made.id, metadata={"topic": "more"})
    assert changed == strict.conversations.retrieve(made.id)
    assert (changed.metadata, changed.created_at) == ({"topic": "more"}, made.created_at)
    assert strict.conversations.update(made.id, metadata=None).metadata == {}
    gone = strict.conversations.delete(made.id)
    assert (gone.id, gone.object, gone.deleted) == (made.id, "conversation.deleted", True)
    for ask in (strict.conversations.retrieve, strict.conversations.delete, strict.conversations.items.list):
        with pytest.raises(NotFoundError, match=made.id):
            ask(made.id)
    with pytest.raises(NotFoundError):
        strict.conversations.items.create(made.id, items=[said("Too late")])


def test_items_of_all_kinds_are_told_as_they_were_given(strict: OpenAI, http: httpx.Client) -> None:
    given: list[ResponseInputItemParam] = [
        said("Be brief.", "developer"),
        {"role": "user", "content": [{"type": "input_text", "text": "What is there?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": LARGE},
        {"type": "custom_tool_call", "call_id": "c2", "name": "say", "input": "x"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "y"},
    ]
    conversation = strict.conversations.create()
    added = strict.conversations.items.create(conversation.id, items=given)
    assert [item.type for item in added.data] == [item.get("type", "message") for item in given]
    assert (added.first_id, added.last_id, added.has_more) == (added.data[0].id, added.data[-1].id, False)
    assert added.data[2].id == "rs_1"
    listed = http.get(f"{CONVERSATIONS}/{conversation.id}/items?order=asc").json()
    assert listed["data"] == [item.to_dict() for item in added.data]
    for item in added.data:
        assert item.id
        assert strict.conversations.items.retrieve(item.id, conversation_id=conversation.id) == item
    removed = strict.conversations.items.delete("rs_1", conversation_id=conversation.id)
    assert removed == conversation
    assert [item.type for item in strict.conversations.items.list(conversation.id)].count("reasoning") == 0
    with pytest.raises(NotFoundError, match="rs_1"):
        strict.conversations.items.delete("rs_1", conversation_id=conversation.id)


def test_items_come_in_pages(echo: Stack, strict: OpenAI) -> None:
    """Also to the asynchronous client; each page is from another process than the last, as chance has it."""
    conversation = strict.conversations.create(items=[said(f"{n} {'' if n % 3 else LARGE}") for n in range(20)])
    for start in (20, 40):
        strict.conversations.items.create(conversation.id, items=[said(str(n)) for n in range(start, start + 20)])
    numbers = [int(text.split()[0]) for text in texts(strict.conversations.items.list(conversation.id, order="asc"))]
    assert numbers == list(range(60))
    page = strict.conversations.items.list(conversation.id, limit=7)
    assert [text.split()[0] for text in texts(page.data)] == [str(n) for n in range(59, 52, -1)]
    assert page.has_more

    async def read() -> list[str]:
        async with echo.async_client() as client:
            return texts([item async for item in client.conversations.items.list(conversation.id, limit=9)])

    assert [int(text.split()[0]) for text in asyncio.run(read())] == list(range(59, -1, -1))
    for item in strict.conversations.items.list(conversation.id, limit=9):  # and each page goes on after one that went
        strict.conversations.items.delete(item.id or "", conversation_id=conversation.id)
    assert strict.conversations.items.list(conversation.id).data == []


def test_a_page_of_large_items_has_fewer(strict: OpenAI) -> None:
    large = LARGE * (LARGEST_LISTED // (3 * len(LARGE)) + 1)
    conversation = strict.conversations.create()
    for text in (large, large, large, "small"):
        strict.conversations.items.create(conversation.id, items=[said(text)])
    pages = list(strict.conversations.items.list(conversation.id, order="asc").iter_pages())
    assert [texts(page.data) for page in pages] == [[large] * 2, [large, "small"]]


def test_an_item_keeps_its_id_and_is_added_once(strict: OpenAI, http: httpx.Client) -> None:
    """Also in several conversations: who copies one into another sends its items with their ids."""
    first = strict.conversations.create(items=[said("one"), said(LARGE)])
    copied: Any = [item.to_dict() for item in strict.conversations.items.list(first.id, order="asc")]
    second = strict.conversations.create(items=copied)
    more: Any = [*copied, {"id": "msg_3", **said("three")}]
    for _ in range(2):  # a client whose answer was lost asks again
        strict.conversations.items.create(second.id, items=more)
    assert texts(strict.conversations.items.list(second.id, order="asc")) == ["one", LARGE, "three"]
    another = {"items": [said("four"), {"id": "msg_3", "role": "user", "content": "another"}]}
    error = problem(http.post(f"{CONVERSATIONS}/{second.id}/items", json=another), 400)
    assert (error["param"], "msg_3" in error["message"]) == ("items[1].id", True)
    assert len(strict.conversations.items.list(second.id).data) == 3
    strict.conversations.delete(first.id)
    assert len(strict.conversations.items.list(second.id).data) == 3


def test_log_probabilities_are_told_to_who_asks_for_them() -> None:
    logprobs = [{"token": "a", "logprob": -1.0, "bytes": [97], "top_logprobs": []}]
    text = {"type": "output_text", "text": "a", "annotations": [], "logprobs": logprobs}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
    for include, told in ((frozenset[str](), []), (frozenset(["message.output_text.logprobs"]), logprobs)):
        assert render_item(item, include)["content"][0]["logprobs"] == told


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"items": []}, "items", "empty_array"),
        ({}, "items", "missing_required_parameter"),
        ({"items": "Hello"}, "items", "invalid_type"),
        ({"items": [{"role": "user", "content": "x"}] * 21}, "items", "array_above_max_length"),
        ({"items": [{"role": "user"}]}, "items[0].content", "missing_required_parameter"),
        ({"items": [{"type": "item_reference", "id": "msg_1"}]}, "items[0].type", "unsupported_value"),
        ({"items": [{"type": "web_search_call", "id": "ws_1"}]}, "items[0].type", "unsupported_value"),
        (
            {"items": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]},
            None,
            "unsupported_value",
        ),
        ({"items": [said("x")], "model": "echo"}, "model", "unknown_parameter"),
    ],
)
def test_bad_items_are_refused(http: httpx.Client, body: dict[str, Any], param: str | None, code: str) -> None:
    conversation = http.post(CONVERSATIONS, json={}).json()["id"]
    error = problem(http.post(f"{CONVERSATIONS}/{conversation}/items", json=body), 400)
    assert (error["code"], error["param"]) == (code, param or "items[0].content[0].type")
    if "items" in body and "model" not in body and body["items"]:
        assert problem(http.post(CONVERSATIONS, json=body), 400)["param"] == error["param"]
    assert http.get(f"{CONVERSATIONS}/{conversation}/items").json()["data"] == []


def test_other_bad_requests_are_refused(http: httpx.Client) -> None:
    conversation = http.post(CONVERSATIONS, json={"items": [said("x")]}).json()["id"]
    path = f"{CONVERSATIONS}/{conversation}"
    assert problem(http.post(path, json={}), 400)["param"] == "metadata"
    assert problem(http.post(path, json={"metadata": {"n": 1}}), 400)["param"] == "metadata.n"
    assert (
        problem(http.post(CONVERSATIONS, json={"metadata": {str(n): "" for n in range(17)}}), 400)["param"]
        == "metadata"
    )
    assert problem(http.get(f"{path}/items?include[]=thoughts"), 400)["param"] == "include"
    assert problem(http.get(f"{path}/items?limit=101"), 400)["param"] == "limit"
    assert problem(http.get(f"{path}/items?after=msg_0"), 404)["param"] == "after"
    other = http.post(CONVERSATIONS, json={"items": [said("y")]}).json()["id"]
    item = http.get(f"{CONVERSATIONS}/{other}/items").json()["first_id"]
    problem(http.get(f"{path}/items/{item}"), 404)
    problem(http.get(f"{path}/items?after={item}"), 404)
    problem(http.post(CONVERSATIONS, content=b"{}", headers={"Content-Type": "text/plain"}), 415)


def test_who_adds_the_same_at_one_time_adds_all_else(strict: OpenAI, pool: ThreadPoolExecutor) -> None:
    same: Any = {**said("the same"), "id": "msg_same"}
    for _ in range(3):
        made = strict.conversations.create().id

        def add(number: int, made: str = made) -> None:
            strict.conversations.items.create(made, items=[same, said(f"{number} of its own"), said(LARGE)])

        list(pool.map(add, range(6)))
        told = texts(strict.conversations.items.list(made, limit=100))
        assert sorted(told) == sorted([*(f"{number} of its own" for number in range(6)), *[LARGE] * 6, "the same"])
