"""The Agents SDK of OpenAI, with its model of chats."""

from __future__ import annotations

import os
from typing import Any, Literal

os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"  # its traces go to OpenAI

from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, Runner, function_tool
from checks import URL, WORDS, at_least, calling, check, equal, run
from openai import AsyncOpenAI
from pydantic import BaseModel, Field

called: list[tuple[str, int]] = []


class City(BaseModel):
    name: str = Field(max_length=20)
    size: Literal["small", "big"]


@function_tool
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


def agent(model: str = "echo", **more: Any) -> Agent[Any]:
    called.clear()
    client = AsyncOpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0, timeout=120)
    return Agent(name="agent", model=OpenAIChatCompletionsModel(model, client), instructions="Be brief.", **more)


async def streamed(agent: Agent[Any], text: str) -> tuple[Any, list[Any]]:
    """What came out at last, and the events."""
    result = Runner.run_streamed(agent, text)
    events = [event async for event in result.stream_events()]
    return result.final_output, events


@check
async def answer() -> None:
    equal((await Runner.run(agent(), WORDS)).final_output, WORDS)
    output, events = await streamed(agent(), WORDS)
    equal(output, WORDS)
    at_least(sum(event.type == "raw_response_event" for event in events), 5)


@check
async def loop_of_tools() -> None:
    result = await Runner.run(agent(tools=[get_weather]), CALLS)
    equal((sorted(called), result.final_output), (CALLED, "cold in Oslo\ncold in Rome"))
    equal(len(result.raw_responses), 2)
    again = await Runner.run(agent(tools=[get_weather]), [*result.to_input_list(), {"role": "user", "content": "done"}])
    equal(again.final_output, "done")


@check
async def loop_of_tools_streamed() -> None:
    output, events = await streamed(agent(tools=[get_weather]), CALLS)
    equal((sorted(called), output), (CALLED, "cold in Oslo\ncold in Rome"))
    names = [event.name for event in events if event.type == "run_item_stream_event"]
    equal((names.count("tool_called"), names.count("tool_output")), (2, 2))


@check
async def one_call_at_most() -> None:
    await Runner.run(agent(tools=[get_weather], model_settings=ModelSettings(parallel_tool_calls=False)), CALLS)
    equal(called, CALLED[:1])


@check
async def output_type() -> None:
    equal((await Runner.run(agent(output_type=City), CITY.model_dump_json())).final_output, CITY)
    equal((await streamed(agent(output_type=City), CITY.model_dump_json()))[0], CITY)


@check
async def output_type_with_tools() -> None:
    output = (await Runner.run(agent(output_type=City, tools=[get_weather]), CALLS)).final_output
    equal((sorted(called), output), (CALLED, City(name="cold in Oslo\ncold in", size="small")))


@check
async def handoff() -> None:
    other = agent()
    other.name = "other"
    result = await Runner.run(agent(handoffs=[other]), calling(("transfer_to_other", {})))
    equal(result.last_agent.name, "other")


@check
async def a_real_model() -> None:
    settings = ModelSettings(max_tokens=100, temperature=0, tool_choice="required")
    await Runner.run(agent("smollm2", tools=[get_weather], model_settings=settings), "How is the weather in Oslo?")
    at_least(len(called), 1)
    settings = ModelSettings(max_tokens=100, temperature=0)
    result = await Runner.run(agent("smollm2", output_type=City, model_settings=settings), "Tell me of Oslo.")
    assert isinstance(result.final_output, City), result.final_output


run()
