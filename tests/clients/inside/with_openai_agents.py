"""The Agents SDK of OpenAI, with its model of chats, and with that of responses, which is its default."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, Literal

os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"  # its traces go to OpenAI

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIConversationsSession,
    Runner,
    function_tool,
    set_default_openai_client,
)
from checks import URL, WORDS, at_least, calling, check, equal, run
from openai import AsyncOpenAI
from pydantic import BaseModel, Field

called: list[tuple[str, int]] = []


class City(BaseModel):
    name: str = Field(max_length=20)
    size: Literal["small", "big"]


@function_tool  # type: ignore[untyped-decorator]  # its packages are in an environment of their own
def get_weather(city: str, days: int = 1) -> str:
    """The weather.

    Args:
        city: where
        days: for how long
    """
    called.append((city, days))
    return f"cold in {city}"


CITY = City(name="Oslo", size="small")
CALLS = calling(("get_weather", {"city": "Oslo", "days": 2}), ("get_weather", {"city": "Rome", "days": 1}))
CALLED = [("Oslo", 2), ("Rome", 1)]


def client() -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0, timeout=120)


def agent(by: str = "responses", model: str = "echo", **more: Any) -> Agent[Any]:
    called.clear()
    if by == "responses":
        set_default_openai_client(client(), use_for_tracing=False)
        return Agent(name="agent", model=model, instructions="Be brief.", **more)
    chats = OpenAIChatCompletionsModel(model, client())
    return Agent(name="agent", model=chats, instructions="Be brief.", **more)


async def streamed(agent: Agent[Any], text: str) -> tuple[Any, list[Any]]:
    """What came out at last, and the events."""
    result = Runner.run_streamed(agent, text)
    events = [event async for event in result.stream_events()]
    return result.final_output, events


def by_both(function: Callable[[str], Awaitable[None]]) -> None:
    """One check by the model of chats, and one by that of responses."""
    for by in ("chats", "responses"):

        async def bound(by: str = by) -> None:
            await function(by)

        bound.__name__ = f"{function.__name__}_by_{by}"
        check(bound)


@by_both
async def answer(by: str) -> None:
    result = await Runner.run(agent(by), WORDS)
    equal(result.final_output, WORDS)
    usage = result.context_wrapper.usage
    equal((usage.requests, usage.input_tokens, usage.output_tokens, usage.total_tokens), (1, 22, 20, 42))
    output, events = await streamed(agent(by), WORDS)
    equal(output, WORDS)
    at_least(sum(event.type == "raw_response_event" for event in events), 5)


@by_both
async def loop_of_tools(by: str) -> None:
    result = await Runner.run(agent(by, tools=[get_weather]), CALLS)
    equal((sorted(called), result.final_output), (CALLED, "cold in Oslo\ncold in Rome"))
    equal(len(result.raw_responses), 2)
    turns = [*result.to_input_list(), {"role": "user", "content": "done"}]
    equal((await Runner.run(agent(by, tools=[get_weather]), turns)).final_output, "done")


@by_both
async def loop_of_tools_streamed(by: str) -> None:
    output, events = await streamed(agent(by, tools=[get_weather]), CALLS)
    equal((sorted(called), output), (CALLED, "cold in Oslo\ncold in Rome"))
    names = [event.name for event in events if event.type == "run_item_stream_event"]
    equal((names.count("tool_called"), names.count("tool_output")), (2, 2))


@by_both
async def one_call_at_most(by: str) -> None:
    await Runner.run(agent(by, tools=[get_weather], model_settings=ModelSettings(parallel_tool_calls=False)), CALLS)
    equal(called, CALLED[:1])


@by_both
async def output_type(by: str) -> None:
    equal((await Runner.run(agent(by, output_type=City), CITY.model_dump_json())).final_output, CITY)
    equal((await streamed(agent(by, output_type=City), CITY.model_dump_json()))[0], CITY)


@by_both
async def output_type_with_tools(by: str) -> None:
    output = (await Runner.run(agent(by, output_type=City, tools=[get_weather]), CALLS)).final_output
    equal((sorted(called), output), (CALLED, City(name="cold in Oslo\ncold in", size="small")))


@by_both
async def handoff(by: str) -> None:
    other = agent(by)
    other.name = "other"
    result = await Runner.run(agent(by, handoffs=[other]), calling(("transfer_to_other", {})))
    equal(result.last_agent.name, "other")


@check
async def response_before() -> None:
    first = await Runner.run(agent(tools=[get_weather]), CALLS)
    again = await Runner.run(agent(tools=[get_weather]), "second", previous_response_id=first.last_response_id)
    equal(again.final_output, "second")
    at_least(again.context_wrapper.usage.input_tokens, first.context_wrapper.usage.input_tokens // 2 + 1)
    chained = await Runner.run(agent(tools=[get_weather]), CALLS, auto_previous_response_id=True)
    equal((sorted(called), chained.final_output), (CALLED, "cold in Oslo\ncold in Rome"))


@check
async def conversation() -> None:
    made = await client().conversations.create()
    result = await Runner.run(agent(tools=[get_weather]), CALLS, conversation_id=made.id)
    equal((sorted(called), result.final_output), (CALLED, "cold in Oslo\ncold in Rome"))
    equal((await Runner.run(agent(), "second", conversation_id=made.id)).final_output, "second")
    kinds = [item.type async for item in client().conversations.items.list(made.id, order="asc")]
    calls = ["function_call"] * 2 + ["function_call_output"] * 2
    equal(kinds, ["message", *calls, "message", "message", "message"])


@check
async def session_of_conversations() -> None:
    session = OpenAIConversationsSession(openai_client=client())
    await Runner.run(agent(tools=[get_weather]), CALLS, session=session)
    equal(len(await session.get_items()), 6)
    second = await Runner.run(agent(), "second", session=session)
    equal(second.final_output, "second")
    asked, _ = await session.get_items(limit=2)
    equal(asked["content"], [{"type": "input_text", "text": "second"}])
    assert await session.pop_item()
    equal(len(await session.get_items()), 7)
    await session.clear_session()


@by_both
async def a_real_model(by: str) -> None:
    settings = ModelSettings(max_tokens=300, temperature=0, tool_choice="required", parallel_tool_calls=False)
    question = "How is the weather in Oslo?"
    more: dict[str, Any] = {"tools": [get_weather], "tool_use_behavior": "stop_on_first_tool"}
    await Runner.run(agent(by, "smollm2", model_settings=settings, **more), question)
    at_least(len(called), 1)
    settings = ModelSettings(max_tokens=300, temperature=0)
    result = await Runner.run(agent(by, "smollm2", output_type=City, model_settings=settings), "Tell me of Oslo.")
    assert isinstance(result.final_output, City), result.final_output


run()
