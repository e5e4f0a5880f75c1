"""pydantic-ai, with its models of OpenAI's chats and responses."""

from __future__ import annotations

import json
from typing import Any, Literal

from checks import OSLO, URL, WORDS, at_least, calling, check, equal, run
from pydantic import BaseModel, Field
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings

PROVIDER = OpenAIProvider(base_url=f"{URL}/v1", api_key="none")
called: list[tuple[str, int]] = []


class River(BaseModel):
    name: str = Field(max_length=20)
    length: int


class City(BaseModel):
    """A city and its rivers."""

    name: str = Field(max_length=40)
    size: Literal["small", "big"]
    rivers: list[River] = Field(max_length=2)


def get_weather(city: str, days: int = 1) -> str:
    """The weather.

    Args:
        city: where
        days: for how long
    """
    called.append((city, days))
    return f"cold in {city}"


def get_answer() -> str:
    """What echo is to say next."""
    return calling(("final_result", OSLO))


CITY = City(**OSLO)
CALLS = calling(("get_weather", {"city": "Oslo", "days": 2}), ("get_weather", {"city": "Rome"}))
CALLED = [("Oslo", 2), ("Rome", 1)]
OUTPUTS: dict[str, tuple[Any, str]] = {
    "tool": (City, calling(("final_result", OSLO))),
    "strict_tool": (ToolOutput(City, name="city", strict=True), calling(("city", OSLO))),
    "native": (NativeOutput(City, strict=True), json.dumps(OSLO)),
    "prompted": (PromptedOutput(City), json.dumps(OSLO)),
}


def agent(model: str = "echo", by: Any = OpenAIChatModel, **more: Any) -> Agent[None, Any]:
    called.clear()
    settings = {"model_settings": ModelSettings(max_tokens=300, temperature=0), **more}
    return Agent(by(model, provider=PROVIDER), retries=0, **settings)


def of_responses(**more: Any) -> Agent[None, Any]:
    return agent(by=OpenAIResponsesModel, **more)


@check
def answer() -> None:
    result = agent(instructions="Be brief.").run_sync(WORDS)
    equal((result.output, result.usage.input_tokens, result.usage.output_tokens), (WORDS, 22, 20))
    equal(agent().run_sync("second", message_history=result.all_messages()).output, "second")


@check
async def answer_streamed() -> None:
    async with agent().run_stream(WORDS) as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    equal("".join(pieces), WORDS)
    at_least(len(pieces), 5)


def output_by(name: str) -> None:
    kind, text = OUTPUTS[name]

    async def output() -> None:
        equal((await agent(output_type=kind).run(text)).output, CITY)
        async with agent(output_type=kind).run_stream(text) as result:
            equal([seen async for seen in result.stream_output(debounce_by=None)][-1], CITY)

    output.__name__ = f"output_by_{name}"
    check(output)


for name in OUTPUTS:
    output_by(name)


@check
def loop_of_tools() -> None:
    result = agent(tools=[get_weather]).run_sync(CALLS)
    equal((sorted(called), result.output), (CALLED, "cold in Oslo\ncold in Rome"))
    equal(result.usage.requests, 2)
    again = agent(tools=[get_weather]).run_sync("done", message_history=result.all_messages())
    equal(again.output, "done")


@check
async def loop_of_tools_streamed() -> None:
    async with agent(tools=[get_weather]).run_stream(CALLS) as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    equal((sorted(called), "".join(pieces)), (CALLED, "cold in Oslo\ncold in Rome"))


@check
def tools_and_output() -> None:
    result = agent(tools=[get_weather, get_answer], output_type=City).run_sync(calling(("get_answer", {})))
    equal(result.output, CITY)
    result = agent(tools=[get_weather], output_type=NativeOutput(City)).run_sync(CALLS)
    equal((sorted(called), result.output.name), (CALLED, "cold in Oslo\ncold in Rome"))


@check
async def response() -> None:
    result = await of_responses(instructions="Be brief.").run(WORDS)
    equal((result.output, result.usage.input_tokens, result.usage.output_tokens), (WORDS, 22, 20))
    equal((await of_responses().run("second", message_history=result.all_messages())).output, "second")
    async with of_responses().run_stream(WORDS) as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    equal("".join(pieces), WORDS)
    at_least(len(pieces), 5)


@check
async def thoughts_of_responses() -> None:
    settings = OpenAIResponsesModelSettings(openai_reasoning_effort="high", openai_reasoning_summary="auto")
    told = f"<think>one two three</think>{WORDS}"
    result = await of_responses(model_settings=settings).run(told)
    equal((result.output, result.response.thinking), (WORDS, "one two three"))
    again = await of_responses(model_settings=settings).run("second", message_history=result.all_messages())
    equal(again.output, "second")


@check
async def output_of_responses() -> None:
    for kind, text in OUTPUTS.values():
        equal((await of_responses(output_type=kind).run(text)).output, CITY)
        async with of_responses(output_type=kind).run_stream(text) as stream:
            equal([seen async for seen in stream.stream_output(debounce_by=None)][-1], CITY)


@check
async def loop_of_tools_by_responses() -> None:
    result = await of_responses(tools=[get_weather]).run(CALLS)
    equal((sorted(called), result.output), (CALLED, "cold in Oslo\ncold in Rome"))
    again = await of_responses(tools=[get_weather]).run("done", message_history=result.all_messages())
    equal(again.output, "done")
    async with of_responses(tools=[get_weather]).run_stream(CALLS) as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    equal((sorted(called), "".join(pieces)), (CALLED, "cold in Oslo\ncold in Rome"))


@check
async def response_before() -> None:
    settings = OpenAIResponsesModelSettings(openai_previous_response_id="auto")
    first = await of_responses(tools=[get_weather], model_settings=settings).run(CALLS)
    equal((sorted(called), first.output), (CALLED, "cold in Oslo\ncold in Rome"))
    again = await of_responses(model_settings=settings).run("second", message_history=first.all_messages())
    equal(again.output, "second")
    at_least(again.usage.input_tokens, 10)  # what was before is not sent, and is read


@check
def real_model() -> None:
    for name in ("tool", "strict_tool", "native"):
        for by in (OpenAIChatModel, OpenAIResponsesModel):
            output = agent("smollm2", by, output_type=OUTPUTS[name][0]).run_sync("Tell me of Oslo.").output
            assert isinstance(output, City), output


run()
