"""Responses by the unmodified `openai` client: asked for, streamed, parsed, and looked at again."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2 as httpx
import openai
import pytest
from openai import OpenAI
from openai.types.responses import FunctionToolParam, Response, ResponseInputParam
from pydantic import BaseModel

from tests.calls import CHATS, LATER, chat, job, problem
from tests.stack import Stack, wait_for

LOOK: FunctionToolParam = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
    "strict": False,
}
WRITE: Any = {"type": "custom", "name": "write"}
CALL = '{"name": "look", "arguments": {"at": "the blue sky"}}'
BETWEEN = f'[{{"content": "Let me see. "}}, {CALL}, {{"name": "write", "input": "all of it"}}]'
LOOKS = 'look{"at": "the blue sky"}'


def strict(stack: Stack) -> OpenAI:
    return stack.client(_strict_response_validation=True)


def tell(response: Response) -> list[str]:
    """What each item of the output says."""
    told = []
    for item in response.output:
        match item.type:
            case "message":
                told.append("".join(part.text for part in item.content if part.type == "output_text"))
            case "reasoning":
                told.append(f"({''.join(part.text for part in item.content or item.summary)})")
            case "function_call":
                told.append(item.name + item.arguments)
            case "custom_tool_call":
                told.append(f"{item.name}: {item.input}")
    return told


def told_again(client: OpenAI, response_id: str) -> list[dict[str, Any]]:
    """All events of a stored response's stream."""
    return [event.to_dict() for event in client.responses.retrieve(response_id, stream=True)]


@pytest.mark.parametrize(
    ("text", "more", "items", "status"),
    [
        ("Hello there", {}, ["Hello there"], "completed"),
        ("one two three", {"max_output_tokens": 2}, ["one two"], "incomplete"),
        ("<think>hm hm</think>Well", {"reasoning": {"effort": "high"}}, ["(hm hm)", "Well"], "completed"),
        (
            *("<think>hm hm</think>Well", {"reasoning": {"effort": "high", "summary": "auto"}}),
            *(["(hm hm)", "Well"], "completed"),
        ),
        ("Well", {"include": ["message.output_text.logprobs"], "top_logprobs": 2}, ["Well"], "completed"),
        (BETWEEN, {"tools": [LOOK, WRITE]}, ["Let me see. ", LOOKS, "write: all of it"], "completed"),
    ],
    ids=["text", "cut", "thoughts", "summary", "logprobs", "calls"],
)
def test_what_is_said(echo: Stack, text: str, more: dict[str, Any], items: list[str], status: str) -> None:
    client = strict(echo)
    asked: dict[str, Any] = {"model": "echo", "input": text, **more}
    answer = client.responses.create(**asked)
    assert (answer.status, tell(answer)) == (status, items)
    assert answer.id.startswith("resp_")
    assert (answer._request_id or "").startswith("req_")
    events = list(client.responses.create(**asked, stream=True))
    last = events[-1]
    assert last.type in ("response.completed", "response.incomplete")
    streamed = last.response
    assert (streamed.status, tell(streamed), streamed.usage) == (status, items, answer.usage)
    assert streamed.completed_at is None or streamed.completed_at >= streamed.created_at
    assert [event.sequence_number for event in events] == list(range(len(events)))
    [message] = [item for item in answer.output if item.type == "message"]
    part = message.content[0]
    assert part.type == "output_text"
    assert len(part.logprobs or []) == (1 if "include" in more else 0)
    with client.responses.stream(**asked) as stream:
        heard = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
    assert heard == "".join(item for item in items if not item.startswith(("(", "look", "write")))
    # What is stored is the same, whole and as it came, from whatever number on.
    assert client.responses.retrieve(streamed.id).to_dict() == streamed.to_dict()
    assert told_again(client, streamed.id) == [event.to_dict() for event in events]
    rest = client.responses.retrieve(streamed.id, stream=True, starting_after=3)
    assert [event.to_dict() for event in rest] == [event.to_dict() for event in events[4:]]
    with client.responses.stream(response_id=streamed.id, starting_after=3) as again:
        assert [event.sequence_number for event in again] == list(range(4, len(events)))
        if status == "completed":
            assert again.get_final_response().output_text == streamed.output_text


def test_a_loop_of_tools(echo: Stack) -> None:
    client = strict(echo)
    items: ResponseInputParam = [{"role": "user", "content": CALL}]
    first = client.responses.create(model="echo", input=items, tools=[LOOK])
    [call] = first.output
    assert call.type == "function_call"
    items += [call.to_dict(), {"type": "function_call_output", "call_id": call.call_id, "output": "It is blue."}]  # type: ignore[list-item]  # what the client has told is no input to its types
    assert client.responses.create(model="echo", input=items, tools=[LOOK]).output_text == "It is blue."


class Sky(BaseModel):
    colour: str


def test_parsing(echo: Stack) -> None:
    text = '{"colour": "blue"}'
    parsed = strict(echo).responses.parse(model="echo", input=text, text_format=Sky)
    assert parsed.output_parsed == Sky(colour="blue")
    with echo.client().responses.stream(model="echo", input=text, text_format=Sky) as stream:
        assert stream.get_final_response().output_parsed == Sky(colour="blue")


def test_the_asynchronous_client(echo: Stack) -> None:
    async def ask() -> None:
        async with echo.async_client() as client:
            answer = await client.responses.create(model="echo", input="Hello")
            async with client.responses.stream(model="echo", input="Hello") as stream:
                final = await stream.get_final_response()
            assert answer.output_text == final.output_text == "Hello"
            found = await client.responses.retrieve(final.id)
            assert (found.id, found.output_text, found.usage) == (final.id, final.output_text, final.usage)

    asyncio.run(ask())


def test_what_is_not_stored_is_not_found(echo: Stack) -> None:
    client = echo.client()
    passing = client.responses.create(model="echo", input="Hello", store=False)
    assert passing.to_dict()["store"] is False
    answer = echo.http().post(CHATS, json=chat("Hello"))
    for response_id in (passing.id, "resp_" + "0" * 32, "x", answer.json()["id"]):
        for act in (client.responses.retrieve, client.responses.cancel, client.responses.delete):
            with pytest.raises(openai.NotFoundError, match="There is nothing stored under"):
                act(response_id)


def test_deleting(echo: Stack) -> None:
    client = echo.client()
    response = client.responses.create(model="echo", input="Hello")
    gone = echo.http().delete(f"/v1/responses/{response.id}")
    assert gone.json() == {"id": response.id, "object": "response", "deleted": True}
    for _ in range(2):
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.delete(response.id)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("stream=maybe", "stream"),
        ("starting_after=1", "starting_after"),
        ("stream=true&starting_after=-1", "starting_after"),
        ("stream=true&starting_after=x", "starting_after"),
        ("include[]=everything", "include"),
    ],
)
def test_queries_that_are_wrong(http: httpx.Client, query: str, param: str) -> None:
    assert problem(http.get(f"/v1/responses/resp_1?{query}"), 400)["param"] == param


def test_queries_that_are_right(echo: Stack) -> None:
    client = strict(echo)
    response = client.responses.create(model="echo", input="Hello")
    include: Any = ["message.output_text.logprobs", "reasoning.encrypted_content"]
    assert client.responses.retrieve(response.id, include=include).to_dict() == response.to_dict()
    quiet = client.responses.retrieve(response.id, stream=True, starting_after=1000, include_obfuscation=False)
    assert list(quiet) == []


def test_a_job_as_of_all_formats(http: httpx.Client) -> None:
    later = http.post("/v1/responses", json={"model": "echo", "input": "Hello"}, headers=LATER)
    assert later.status_code == 202
    job_id = later.json()["id"]
    assert later.headers["location"] == f"/v1/jobs/{job_id}"
    wait_for(lambda: job(http, job_id)["status"] == "completed", "the end")
    assert http.get(f"/v1/responses/{job_id}").json() == job(http, job_id)["result"]
    followed = http.get(f"/v1/jobs/{job_id}/events").text.split("\n\n")
    assert followed[0].startswith("id: ")
    assert "event: response.completed" in followed[-2]


def test_what_fails_before_its_beginning_is_refused(echo: Stack) -> None:
    client = echo.client()
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model="echo", input="word " * 40_000, stream=stream)
        assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="nobody", input="Hello")
