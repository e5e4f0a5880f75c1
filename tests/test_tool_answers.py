"""Tool calls as the unmodified `openai` client sees them, from echo, which calls what it is told to."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2 as httpx
import pydantic
import pytest
from openai import OpenAI
from openai.lib.streaming._deltas import accumulate_delta
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat import ChatCompletionFunctionToolParam as ToolParam

from tests.calls import CHATS, chat, data, job, said, submit
from tests.stack import Stack

LOOK: ToolParam = {
    "type": "function",
    "function": {
        "name": "look",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"at": {"type": "string"}},
            "required": ["at"],
            "additionalProperties": False,
        },
    },
}
SHELL = {"type": "custom", "custom": {"name": "shell"}}
ARGUMENTS = '{"at": "the blue sky"}'
CALL = f'{{"name": "look", "arguments": {ARGUMENTS}}}'
TWO = f'[{{"content": "Let me see. "}}, {CALL}, {{"name": "look", "arguments": {{"at": ""}}}}]'


def ask(client: OpenAI, text: str = CALL, **more: Any) -> ChatCompletion:
    answer = client.chat.completions.create(model="echo", messages=said(text), **more)
    assert isinstance(answer, ChatCompletion)
    return answer


def test_a_call_in_openais_shape(echo: Stack) -> None:
    answer = ask(echo.client(_strict_response_validation=True), tools=[LOOK])
    [choice] = answer.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    [call] = choice.message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("look", ARGUMENTS)
    assert call.id.startswith("call_")
    assert (choice.message.function_call, choice.message.refusal) == (None, None)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 1 + len(ARGUMENTS.split())


def test_a_stream_says_which_call_it_is_once(http: httpx.Client) -> None:
    body = chat(TWO, tools=[LOOK], stream=True, stream_options={"include_usage": True}, n=2)
    with http.stream("POST", CHATS, json=body) as answer:
        *chunks, _ = data(answer.iter_lines())
    deltas = [c["choices"][0]["delta"] for c in chunks if c["choices"] and c["choices"][0]["index"] == 1]
    assert deltas[0] == {"role": "assistant", "content": None}
    assert "".join(delta.get("content") or "" for delta in deltas) == "Let me see. "
    calls = [call for delta in deltas for call in delta.get("tool_calls", [])]
    first, second = [[call for call in calls if call["index"] == index] for index in (0, 1)]
    assert calls == [*first, *second]
    for pieces, arguments in ((first, ARGUMENTS), (second, '{"at": ""}')):
        assert pieces[0]["function"] == {"name": "look", "arguments": ""}
        assert pieces[0].keys() == {"index", "id", "type", "function"}
        assert {frozenset(piece) for piece in pieces[1:]} == {frozenset({"index", "function"})}
        assert {frozenset(piece["function"]) for piece in pieces[1:]} == {frozenset({"arguments"})}
        assert "".join(piece["function"]["arguments"] for piece in pieces) == arguments
        assert len(pieces) > 2
    ids = {
        call["id"]
        for c in chunks
        if c["choices"]
        for call in c["choices"][0]["delta"].get("tool_calls", [])
        if "id" in call
    }
    assert len(ids) == 4, "of two choices"


@pytest.mark.parametrize(
    ("text", "more"),
    [
        (TWO, {"tools": [LOOK], "n": 2}),
        (f"<think>hm hm</think>{TWO}", {"tools": [LOOK, SHELL], "reasoning_effort": "high", "max_tokens": 8}),
        ("what?", {"tools": [LOOK], "tool_choice": "required", "parallel_tool_calls": False}),
        ('{"a": 1}', {"response_format": {"type": "json_object"}, "thinking": {"type": "enabled"}}),
        ("", {"tools": [LOOK]}),
    ],
)
def test_a_stream_is_the_same_as_a_whole_answer(http: httpx.Client, text: str, more: dict[str, Any]) -> None:
    body = chat(text, seed=5, **more)
    whole = http.post(CHATS, json=body).json()
    with http.stream("POST", CHATS, json={**body, "stream": True, "stream_options": {"include_usage": True}}) as answer:
        *chunks, last, _ = data(answer.iter_lines())
    assert last["usage"] == whole["usage"]
    for choice in whole["choices"]:
        mine = [each for chunk in chunks for each in chunk["choices"] if each["index"] == choice["index"]]
        assert mine[-1]["finish_reason"] == choice["finish_reason"]
        message: dict[Any, Any] = {"refusal": None}
        for each in mine:
            message = accumulate_delta(message, each["delta"])
        for call in [*message.get("tool_calls", []), *choice["message"].get("tool_calls", [])]:
            call.pop("index", None)
            assert call.pop("id").startswith("call_")
        assert message == choice["message"]


def test_what_is_followed_and_polled_has_the_same_ids(http: httpx.Client) -> None:
    job_id = submit(http, CHATS, chat(TWO, tools=[LOOK]))
    with http.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        deltas = [
            chunk["choices"][0]["delta"]
            for line in answer.iter_lines()
            if line.startswith("data: {") and (chunk := json.loads(line[6:]))["choices"]
        ]
    told = [call["id"] for delta in deltas for call in delta.get("tool_calls", []) if "id" in call]
    result = job(http, job_id)["result"]["choices"][0]["message"]
    assert told == [call["id"] for call in result["tool_calls"]]
    assert result["content"] == "Let me see. "
    assert len(set(told)) == 2


def test_the_clients_stream_helper(echo: Stack) -> None:
    seen = list[tuple[str, int, str]]()
    with echo.client().chat.completions.stream(model="echo", messages=said(TWO), tools=[LOOK], n=2) as stream:
        for event in stream:
            if event.type == "tool_calls.function.arguments.delta":
                seen.append(("delta", event.index, event.arguments_delta))
            elif event.type == "tool_calls.function.arguments.done":
                seen.append(("done", event.index, event.arguments))
        final = stream.get_final_completion()
    assert "".join(text for kind, index, text in seen if (kind, index) == ("delta", 0)) == ARGUMENTS * 2
    assert sorted(each for each in seen if each[0] == "done") == [
        *[("done", 0, ARGUMENTS)] * 2,
        *[("done", 1, '{"at": ""}')] * 2,
    ]
    for choice in final.choices:
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Let me see. ")
        [first, second] = choice.message.tool_calls or []
        assert first.function.parsed_arguments == {"at": "the blue sky"}
        assert second.function.parsed_arguments == {"at": ""}


def test_the_async_helper(echo: Stack) -> None:
    async def run() -> list[Any]:
        async with echo.async_client() as client:
            async with client.chat.completions.stream(model="echo", messages=said(CALL), tools=[LOOK]) as stream:
                types = [event.type async for event in stream]
                final = await stream.get_final_completion()
            return [types, final.choices[0].message]

    types, message = asyncio.run(run())
    assert types.count("tool_calls.function.arguments.done") == 1
    assert message.content is None
    assert message.tool_calls[0].function.parsed_arguments == {"at": "the blue sky"}


class Look(pydantic.BaseModel):
    """Look at something."""

    at: str


def test_parsed_calls(echo: Stack) -> None:
    from openai import pydantic_function_tool

    tools = [pydantic_function_tool(Look, name="look")]
    client = echo.client(_strict_response_validation=True)
    answer = client.chat.completions.parse(model="echo", messages=said(CALL), tools=tools)
    [call] = answer.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == Look(at="the blue sky")
    forced = client.chat.completions.parse(model="echo", messages=said("up"), tools=tools, tool_choice="required")
    [call] = forced.choices[0].message.tool_calls or []
    assert call.function.parsed_arguments == Look(at="up")


def test_calls_in_parallel_or_one(client: OpenAI) -> None:
    both = ask(client, TWO, tools=[LOOK], n=2)
    for choice in both.choices:
        calls = choice.message.tool_calls or []
        assert [call.function.arguments for call in calls if call.type == "function"] == [ARGUMENTS, '{"at": ""}']
    assert len({call.id for choice in both.choices for call in choice.message.tool_calls or []}) == 4
    one = ask(client, TWO, tools=[LOOK], parallel_tool_calls=False).choices[0].message
    assert len(one.tool_calls or []) == 1
    assert one.content == "Let me see. "


def test_a_custom_tool(client: OpenAI) -> None:
    text = '{"name": "shell", "input": "ls -l\\n"}'
    [call] = ask(client, text, tools=[SHELL]).choices[0].message.tool_calls or []
    assert call.type == "custom"
    assert (call.custom.name, call.custom.input) == ("shell", "ls -l\n")
    tools: Any = [SHELL]
    stream = client.chat.completions.create(model="echo", messages=said(text), tools=tools, stream=True)
    pieces = [piece for chunk in stream for piece in chunk.choices[0].delta.tool_calls or []]
    first, *rest = [piece.to_dict() for piece in pieces]
    assert first["custom"] == {"name": "shell", "input": ""}
    assert (first["type"], first["index"], str(first["id"])[:5]) == ("custom", 0, "call_")
    assert [piece.keys() for piece in rest] == [{"index", "custom"}] * len(rest)
    assert "".join(piece["custom"]["input"] for piece in rest) == "ls -l\n"  # type: ignore[index]  # values of `to_dict` are objects


def test_functions_as_they_were_before_tools(echo: Stack) -> None:
    client = echo.client(_strict_response_validation=True)
    functions: Any = [LOOK["function"] | {"name": name} for name in ("look", "hear")]
    [choice] = ask(client, TWO, functions=functions).choices
    assert (choice.finish_reason, choice.message.tool_calls) == ("function_call", None)
    assert choice.message.function_call is not None
    assert choice.message.function_call.to_dict() == {"name": "look", "arguments": ARGUMENTS}
    stream = client.chat.completions.create(model="echo", messages=said(CALL), functions=functions, stream=True)
    chunks = list[ChatCompletionChunk](stream)
    called = [call for chunk in chunks if (call := chunk.choices[0].delta.function_call)]
    assert [call.name for call in called] == ["look"] + [None] * (len(called) - 1)
    assert "".join(call.arguments or "" for call in called) == ARGUMENTS
    assert not any(chunk.choices[0].delta.tool_calls for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "function_call"


@pytest.mark.parametrize("streams", [False, True])
def test_a_loop_of_three_turns(echo: Stack, streams: bool) -> None:
    """Each result asks for the next call, until one does not."""
    client = echo.client()
    results = [f"[{CALL}, {CALL}]", CALL, "It is blue."]
    messages: list[Any] = said(CALL)
    made = 0
    while True:
        if streams:
            with client.chat.completions.stream(model="echo", messages=messages, tools=[LOOK]) as stream:
                message: Any = stream.get_final_completion().choices[0].message
        else:
            answer = client.chat.completions.create(model="echo", messages=messages, tools=[LOOK])
            message = answer.choices[0].message
        messages.append(message)
        if not message.tool_calls:
            break
        result = results.pop(0)
        made += len(message.tool_calls)
        for number, call in enumerate(message.tool_calls):
            assert call.function.arguments == ARGUMENTS
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result if number == 0 else ""})
    assert (made, message.content.strip(), results) == (4, "It is blue.", [])


def test_a_call_that_is_cut_short_says_so(client: OpenAI) -> None:
    [choice] = ask(client, tools=[LOOK], max_tokens=3).choices
    [call] = choice.message.tool_calls or []
    assert call.type == "function"
    assert (choice.finish_reason, call.function.arguments) == ("length", '{"at": "the')


def test_no_tools_no_calls(client: OpenAI) -> None:
    without: list[dict[str, Any]] = [{}, {"tools": [LOOK], "tool_choice": "none"}]
    for more in without:
        [choice] = ask(client, **more).choices
        assert (choice.finish_reason, choice.message.content, choice.message.tool_calls) == ("stop", CALL, None)


def test_calls_of_a_worker_that_dies_go_on_where_they_agree(served: Stack) -> None:
    victim = served.start_worker(echo_rate=4)
    long = json.dumps([{"content": "one two "}, *[{"name": "look", "arguments": {"at": "a b c"}}] * 3])
    client = served.client()
    with client.chat.completions.stream(model="echo", messages=said(long), tools=[LOOK]) as stream:
        for event in stream:
            if event.type == "tool_calls.function.arguments.done":
                victim.kill()
                served.start_worker(echo_rate=50)
                break
        [job_id] = served.jobs()
        message = stream.get_final_completion().choices[0].message
    assert message.content == "one two "
    assert [call.function.arguments for call in message.tool_calls or []] == ['{"at": "a b c"}'] * 3
    assert served.redis.hget(f"iq:job:{job_id}", "tries") == b"2"
