"""pydantic-ai, with its model of Anthropic's messages."""

from __future__ import annotations

import json
from typing import Any, Literal

from checks import OSLO, URL, WORDS, at_least, calling, check, equal, run
from pydantic import BaseModel, Field
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ThinkingPart
from pydantic_ai.models.anthropic import AnthropicModel, AnthropicModelSettings
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider

PROVIDER = AnthropicProvider(base_url=URL, api_key="none")
ABLE = ModelProfile(supports_json_schema_output=True)
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


CITY = City(**OSLO)
CALLS = calling(("get_weather", {"city": "Oslo", "days": 2}), ("get_weather", {"city": "Rome"}))
CALLED = [("Oslo", 2), ("Rome", 1)]
OUTPUTS: dict[str, tuple[Any, str]] = {
    "tool": (City, calling(("final_result", OSLO))),
    "native": (NativeOutput(City), json.dumps(OSLO)),
    "prompted": (PromptedOutput(City), json.dumps(OSLO)),
}


def agent(model: str = "echo", **more: Any) -> Agent[None, Any]:
    called.clear()
    settings = AnthropicModelSettings(max_tokens=300, **more.pop("settings", {}))
    return Agent(AnthropicModel(model, provider=PROVIDER, profile=ABLE), retries=0, model_settings=settings, **more)


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


@check
def thinking() -> None:
    more: dict[str, Any] = {"settings": {"anthropic_thinking": {"type": "enabled", "budget_tokens": 1024}}}
    result = agent(**more).run_sync("<think>First this.</think>Done.")
    equal(result.output, "Done.")
    parts = [part for part in result.response.parts if isinstance(part, ThinkingPart)]
    equal([part.content for part in parts], ["First this."])
    again = agent(**more).run_sync("<think>No.</think>second", message_history=result.all_messages())
    equal(again.output, "second")


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
def real_model() -> None:
    output = agent("smollm2", output_type=City, settings={"temperature": 0}).run_sync("Tell me of Oslo.").output
    assert isinstance(output, City), output


run()
