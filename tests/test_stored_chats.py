"""Chats that are stored: as OpenAI's unmodified client asks for them, lists, changes and removes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion

from gateway.schemas.lists import Paging, read_paging, take_page
from gateway.schemas.stored_chats import read_filters, render_message
from shared.errors import InvalidRequest, NotStored
from tests.calls import CHATS, COMPLETIONS, chat, completion, job, problem, said, submit
from tests.parsing import CHAT, refused_chat
from tests.parsing import chat as parse
from tests.stack import API_KEYS, KEYS, Stack, running, stop, wait_for

LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
CALLS = '[{"content": "Let me see. "}, {"name": "look", "arguments": {}}]'
PARTS = [{"type": "text", "text": "What is"}, {"type": "text", "text": "this?"}]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two gateway processes that know two keys."""
    with running(tmp_path_factory.mktemp("stored"), api_keys=API_KEYS) as stack:
        stack.start_gateway(processes=2)
        stack.start_worker()
        yield stack


def keep(client: OpenAI, text: str = "Hello there", **more: Any) -> ChatCompletion:
    answer = client.chat.completions.create(model="echo", messages=said(text), store=True, **more)
    assert isinstance(answer, ChatCompletion)
    return answer


def test_what_a_request_says_of_it() -> None:
    plain, (_, options) = parse(), parse(store=True, metadata={"a": "b"}, user="me", tool_choice="auto")
    assert plain == parse(store=False) == parse(store=None, metadata={"a": "b" * 1024}, user="me")
    assert options.kept is not None
    assert options.kept.given == ({"role": "user", "content": "Hi"},)
    assert options.asked == {"metadata": {"a": "b"}, "input_user": "me", "tool_choice": "auto"}
    assert parse(store=True, metadata=[])[1].asked == {}
    told = {"metadata": {"a": "b"}, "user": "me", "verbosity": "low"}
    assert CHAT.schema.ignored({**told, "store": False}) == ["user", "metadata", "verbosity"]
    assert CHAT.schema.ignored({**told, "store": True}) == ["verbosity"]
    deep: list[Any] = []
    for _ in range(70):
        deep = [deep]
    assert refused_chat(store=True, messages=[{"role": "user", "content": "", "x": deep}]) == (
        "messages",
        "invalid_value",
    )


def test_what_a_query_asks_for() -> None:
    assert read_filters({}) == read_filters({"limit": "1", "metadata": "x", "model": "", "other": "1"}) == {}
    query = {"model": "m", "metadata[a.b]": "1", "metadata[c]": "", "metadata[]": "none"}
    assert read_filters(query) == {"model": "m", "metadata.a.b": "1", "metadata.c": "", "metadata.": "none"}
    for bad, param in (
        ({f"metadata[{n}]": "" for n in range(17)}, "metadata"),
        ({"metadata[a]": "x" * 513}, "metadata.a"),
        ({f"metadata[{'k' * 65}]": "x"}, "metadata"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            read_filters(bad)
        assert caught.value.param == param


def test_pages_of_what_is_at_hand() -> None:
    things = [{"id": name} for name in "abcde"]
    told = take_page(things, Paging(2, "b", descending=False))
    assert ([thing["id"] for thing in told["data"]], told["has_more"]) == (["c", "d"], True)
    assert (told["object"], told["first_id"], told["last_id"]) == ("list", "c", "d")
    assert take_page(things, Paging(9, "b"))["data"] == [{"id": "a"}]
    assert take_page(things, Paging(5))["has_more"] is False
    last = take_page(things, Paging(5, "a"))
    assert (last["data"], last["first_id"], last["has_more"]) == ([], None, False)
    with pytest.raises(NotStored) as caught:
        take_page(things, Paging(5, "f"))
    assert caught.value.param == "after"
    assert read_paging({"limit": "", "order": "", "after": ""}) == Paging(20, "", True)


def test_messages_are_told_as_they_came() -> None:
    told = render_message("chatcmpl-1", 2, {"role": "user", "content": PARTS, "id": "mine", "extra": 1})
    assert told == {
        "id": "chatcmpl-1-2",
        "role": "user",
        "content": "What is\nthis?",
        "name": None,
        "content_parts": PARTS,
        "extra": 1,
    }
    mixed = ["a", {"text": "b"}, {"type": "input_text", "text": "c"}, {"type": "thinking", "thinking": "d"}]
    told = render_message("chatcmpl-1", 0, {"role": "assistant", "content": mixed})
    assert told["content"] == "a\nb\nc"
    assert [part["type"] for part in told["content_parts"]] == ["text", "text", "text", "thinking"]
    assert render_message("chatcmpl-1", 0, {"role": "assistant", "tool_calls": []})["content"] is None


def test_it_is_told_again_as_it_was_answered(alice: OpenAI) -> None:
    more: list[dict[str, Any]] = [
        {"metadata": {"a": "1"}, "temperature": 0.5, "top_p": 0.9, "seed": 3, "user": "me"},
        {"n": 2, "logprobs": True, "top_logprobs": 2},
        {"tools": [LOOK], "tool_choice": "auto", "n": 2},
        {"reasoning_effort": "low", "response_format": {"type": "text"}},
        {"extra_body": {"return_token_ids": True}},
    ]
    for each in more:
        answer = keep(alice, "<think>so</think>yes" if "reasoning_effort" in each else CALLS, **each)
        for _ in range(3):  # by either process, and before it is archived and after it
            assert alice.chat.completions.retrieve(answer.id) == answer
    told: Any = keep(alice, **more[0])
    assert (told.metadata, told.temperature, told.top_p, told.seed) == ({"a": "1"}, 0.5, 0.9, 3)
    assert (told.presence_penalty, told.tools, told.input_user) == (0.0, None, "me")
    assert told.request_id.startswith("req_")
    assert keep(alice, **more[2]).to_dict()["tools"] == [LOOK]


def test_a_stream_is_stored_as_it_was_told(alice: OpenAI) -> None:
    with alice.chat.completions.stream(
        model="echo", messages=said("Hello there"), n=2, store=True, stream_options={"include_usage": True}
    ) as stream:
        final = stream.get_final_completion()
    again = alice.chat.completions.retrieve(final.id)
    for mine, stored in zip(final.choices, again.choices, strict=True):
        assert mine.message.content == stored.message.content == "Hello there"
        assert mine.finish_reason == stored.finish_reason
    assert (final.created, final.usage, final.system_fingerprint) == (
        again.created,
        again.usage,
        again.system_fingerprint,
    )


def test_lists_are_filtered_and_told_in_pages(alice: OpenAI) -> None:
    made = [keep(alice, f"number {n}", metadata={"of": "pages", "n": str(n % 2)}).id for n in range(5)]
    where = {"of": "pages"}
    assert [each.id for each in alice.chat.completions.list(metadata=where, limit=2)] == made
    assert [each.id for each in alice.chat.completions.list(metadata=where, limit=2, order="desc")] == made[::-1]
    assert [each.id for each in alice.chat.completions.list(metadata={**where, "n": "1"})] == made[1::2]
    page = alice.chat.completions.list(metadata=where, limit=2, after=made[1], model="echo")
    assert [each.choices[0].message.content for each in page.data] == ["number 2", "number 3"]
    assert (page.has_more, page.to_dict()["first_id"], page.to_dict()["last_id"]) == (True, made[2], made[3])
    assert page.data[0] == alice.chat.completions.retrieve(made[2])
    assert alice.chat.completions.list(model="other").data == []
    assert alice.chat.completions.list(metadata={"of": "pages", "none": ""}).data == []
    # each page goes on after one that went
    gone = [alice.chat.completions.delete(each.id).id for each in alice.chat.completions.list(metadata=where, limit=2)]
    assert gone == made


def test_a_page_of_large_chats_ends_early(alice: OpenAI) -> None:
    made = [keep(alice, "x" * 1_600_000, metadata={"size": "large"}).id for _ in range(4)]
    page = alice.chat.completions.list(metadata={"size": "large"})
    assert ([each.id for each in page.data], page.has_more) == (made[:3], True)
    assert [each.id for each in page] == made


def test_metadata_changes_and_nothing_else(alice: OpenAI, http: httpx.Client) -> None:
    answer = keep(alice, metadata={"a": "1", "b": "2"})
    odd = {'q"uote': "1", "back\\slash": "2", "dot.ted": "3", "$[0]": "4", "é ü": "5", "": "6", "%": "7"}
    changed = alice.chat.completions.update(answer.id, metadata=odd)
    assert changed == alice.chat.completions.retrieve(answer.id) == answer.model_copy(update={"metadata": odd})
    assert [each.id for each in alice.chat.completions.list(metadata={"a": "1", "b": "2"})] == []
    for key, value in odd.items():
        assert [each.id for each in alice.chat.completions.list(metadata={key: value})] == [answer.id], key
    assert alice.chat.completions.update(answer.id, metadata=None).metadata == {}
    for body, param in (
        ({}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": 1}, "metadata"),
        ({"metadata": {}, "model": "x"}, "model"),
    ):
        assert problem(http.post(f"{CHATS}/{answer.id}", json=body), 400)["param"] == param
    assert problem(http.post(f"{CHATS}/{answer.id}", content=b"{"), 415)["param"] is None


def test_messages_are_listed(alice: OpenAI, http: httpx.Client) -> None:
    asked: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": PARTS, "name": "Ann"},
        {"role": "assistant", "content": None, "tool_calls": [_called("1")]},
        {"role": "tool", "content": "blue", "tool_call_id": "1"},
        {"role": "user", "content": "Thanks"},
    ]
    answer = alice.chat.completions.create(model="echo", messages=asked, store=True)
    lenient = alice.with_options()
    lenient._strict_response_validation = False  # whose type knows the assistant's messages alone
    listed = list(lenient.chat.completions.messages.list(answer.id, limit=2))
    assert [message.id for message in listed] == [f"{answer.id}-{n}" for n in range(5)]
    assert [message.role for message in listed] == [message["role"] for message in asked]
    assert listed[1].to_dict()["content_parts"] == PARTS
    assert listed[2].tool_calls
    assert (listed[0].content, listed[0].content_parts) == ("Be brief.", None)
    backwards = lenient.chat.completions.messages.list(answer.id, order="desc", after=listed[3].id)
    assert [message.id for message in backwards] == [message.id for message in listed[2::-1]]
    assert problem(http.get(f"{CHATS}/{answer.id}/messages?after=x"), 404)["param"] == "after"


def _called(call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "look", "arguments": "{}"}}


def test_removed_it_is_nowhere(alice: OpenAI, http: httpx.Client) -> None:
    answer = keep(alice, metadata={"goes": "1"})
    gone = alice.chat.completions.delete(answer.id)
    assert gone.to_dict() == {"object": "chat.completion.deleted", "id": answer.id, "deleted": True}
    assert alice.chat.completions.list(metadata={"goes": "1"}).data == []
    for path in (answer.id, f"{answer.id}/messages"):
        assert problem(http.get(f"{CHATS}/{path}"), 404)["code"] == "not_stored"
    assert problem(http.delete(f"{CHATS}/{answer.id}"), 404)["code"] == "not_stored"
    assert problem(http.post(f"{CHATS}/{answer.id}", json={"metadata": {}}), 404)["code"] == "not_stored"


def test_anothers_is_not_there(alice: OpenAI, bob: OpenAI) -> None:
    answer = keep(alice, metadata={"whose": "alice"})
    mine = keep(bob)
    messages, completions = list[str](), bob.chat.completions
    for chat_id in (answer.id, "chatcmpl-" + "0" * 32):
        asks: tuple[Any, ...] = (
            completions.retrieve,
            completions.delete,
            completions.messages.list,
            lambda chat_id: completions.update(chat_id, metadata={}),
            lambda chat_id: completions.list(after=chat_id),
        )
        for ask in asks:
            with pytest.raises(openai.NotFoundError) as caught:
                ask(chat_id)
            messages.append(caught.value.message.replace(chat_id, "ID"))
    assert messages[:5] == messages[5:]
    assert [each.id for each in bob.chat.completions.list()] == [mine.id]
    assert alice.chat.completions.retrieve(answer.id) == answer


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("order=up", "order"),
        (f"metadata[k]={'v' * 513}", "metadata.k"),
    ],
)
def test_bad_queries_are_refused(http: httpx.Client, query: str, param: str) -> None:
    assert problem(http.get(f"{CHATS}?{query}"), 400)["param"] == param


def test_only_what_is_stored_and_completed(http: httpx.Client) -> None:
    plain = http.post(CHATS, json=chat("Hello", metadata={"a": "b"}))
    assert plain.headers["x-inferq-ignored"] == "metadata"
    assert problem(http.get(f"{CHATS}/{plain.json()['id']}"), 404)["code"] == "not_stored"
    assert problem(http.post(COMPLETIONS, json=completion("Once", store=True)), 400)["param"] == "store"
    later = submit(http, CHATS, chat("Hello", store=True, metadata={"a": "later"}))
    wait_for(lambda: job(http, later)["status"] == "completed", "the end")
    assert http.get(f"{CHATS}/{later}").json() == job(http, later)["result"]
    assert [each["id"] for each in http.get(CHATS, params={"metadata[a]": "later"}).json()["data"]] == [later]
    stored = http.post(CHATS, json=chat("Hello", store=True, metadata={"a": "b"}))
    assert "x-inferq-ignored" not in stored.headers


def test_clients_that_wait_for_nothing(stack: Stack) -> None:
    async def use() -> None:
        async with AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=KEYS["alice"], max_retries=0) as client:
            create = client.chat.completions.create
            asked = [
                create(model="echo", messages=said(f"text {n}"), store=True, metadata={"way": "async"})
                for n in range(5)
            ]
            answers = {answer.id: answer for answer in await asyncio.gather(*asked)}
            listed = [each async for each in client.chat.completions.list(metadata={"way": "async"}, limit=2)]
            assert len(listed) == 5
            assert {each.id: each for each in listed} == answers
            for each in listed:
                assert [message.content async for message in client.chat.completions.messages.list(each.id)]
                await client.chat.completions.delete(each.id)
            assert [each async for each in client.chat.completions.list(metadata={"way": "async"})] == []

    asyncio.run(use())


def test_it_outlives_everybody(stack: Stack, alice: OpenAI, http: httpx.Client) -> None:
    """Last of all: the stack is another one afterwards."""
    answer = keep(alice, n=2, metadata={"lives": "on"})
    stop(stack.worker, stack.gateway)
    stop(stack.valkey)
    stack.start_valkey()
    stack.start_gateway(processes=1)
    assert alice.chat.completions.retrieve(answer.id) == answer
    assert [each.id for each in alice.chat.completions.list(metadata={"lives": "on"})] == [answer.id]
