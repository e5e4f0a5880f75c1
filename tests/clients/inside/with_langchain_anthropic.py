"""`ChatAnthropic` of langchain-anthropic."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any, Literal

from checks import QUESTION, URL, WORDS, at_least, calling, check, equal, run
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field


def llm(model: str = "echo", **more: Any) -> Any:
    return ChatAnthropic(base_url=URL, api_key="none", model=model, max_tokens=300, max_retries=0, timeout=60, **more)


chat = llm()


@check
def invoke() -> None:
    answer = chat.invoke(WORDS)
    equal(answer.content, WORDS)
    equal((answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]), (20, 20))
    equal(answer.response_metadata["stop_reason"], "end_turn")
    equal(chat.invoke(WORDS, stop=[" word7"]).content, WORDS.partition(" word7")[0])


@check
def stream() -> None:
    chunks = list(chat.stream(WORDS))
    equal("".join(chunk.text for chunk in chunks), WORDS)
    equal(sum(chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata), 20)
    at_least(len(chunks), 5)


@check
async def ainvoke_and_astream() -> None:
    equal((await chat.ainvoke(WORDS)).content, WORDS)
    equal("".join([chunk.text async for chunk in chat.astream(WORDS)]), WORDS)


@check
def answer_sent_back() -> None:
    turns = [SystemMessage("Be brief."), HumanMessage("first"), chat.invoke("first"), HumanMessage("second")]
    answer = chat.invoke(turns)
    equal((answer.content, answer.usage_metadata["input_tokens"]), ("second", 5))
    equal(chat.get_num_tokens_from_messages(turns), 5)


@check
def thinking() -> None:
    thoughtful = llm(thinking={"type": "enabled", "budget_tokens": 1024})
    said = "<think>First this. Then that.</think>Done at last."
    whole = thoughtful.invoke(said)
    streamed = reduce(add, thoughtful.stream(said))
    for answer in (whole, streamed):
        equal([block["type"] for block in answer.content], ["thinking", "text"])
        equal((answer.content[0]["thinking"], answer.text), ("First this. Then that.", "Done at last."))
        again = thoughtful.invoke([HumanMessage(said), answer, HumanMessage("<think>No.</think>second")])
        equal(again.text, "second")


class City(BaseModel):
    """A city."""

    name: str = Field(max_length=20)
    size: Literal["small", "big"]


@tool  # type: ignore[untyped-decorator]  # its packages are in an environment of their own
def get_weather(city: str, days: int = 1) -> str:
    """The weather."""
    return f"cold in {city} for {days}"


CITY = City(name="Oslo", size="small")
CALLS = calling(("get_weather", {"city": "Oslo", "days": 2}), ("get_weather", {"city": "Rome"}))


@check
def structured_output() -> None:
    for method, text in {
        "json_schema": CITY.model_dump_json(),
        "function_calling": calling(("City", CITY.model_dump())),
    }.items():
        structured = chat.with_structured_output(City, method=method)
        equal(structured.invoke(text), CITY)
        equal(list(structured.stream(text))[-1], CITY)


@check
def tools() -> None:
    for choice in (None, "auto", "any", "get_weather"):
        bound = chat.bind_tools([get_weather], tool_choice=choice)
        whole = bound.invoke(CALLS)
        streamed = reduce(add, bound.stream(CALLS))
        for answer in (whole, streamed):
            equal(answer.tool_calls[0]["args"], {"city": "Oslo", "days": 2})
            equal(answer.response_metadata["stop_reason"], "tool_use")
        equal(len(streamed.tool_calls), len(whole.tool_calls))


@check
def loop_of_tools() -> None:
    bound = chat.bind_tools([get_weather])
    called = bound.invoke(CALLS)
    results = [get_weather.invoke(call) for call in called.tool_calls]
    turns = [HumanMessage(CALLS), called, *results]
    equal(bound.invoke(turns).content, "cold in Oslo for 2\ncold in Rome for 1")
    equal(bound.invoke([*turns, AIMessage("cold"), HumanMessage("done")]).content, "done")


@check
def a_real_model_in_a_form() -> None:
    small = llm("smollm2", temperature=0)
    city = small.with_structured_output(City, method="function_calling").invoke("Tell me of Oslo.")
    assert isinstance(city, City), city
    forced = small.bind_tools([get_weather], tool_choice="any", parallel_tool_calls=False)
    equal([call["name"] for call in forced.invoke("How is the weather in Oslo?").tool_calls], ["get_weather"])


@check
def a_real_model() -> None:
    answer = llm("smollm2", temperature=0).invoke(QUESTION)
    assert "Paris" in answer.content, answer.content


run()
