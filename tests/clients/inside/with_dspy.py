"""DSPy: its own engine and litellm's, adapters, and agents that echo is told to drive."""

from __future__ import annotations

import json
import os
from typing import Any, Literal

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else both fetch their prices

import dspy
import litellm
from checks import OSLO, URL, WORDS, at_least, calling, check, equal, run
from dspy import lm15
from pydantic import BaseModel, Field

ABLE = {"supports_function_calling": True, "supports_response_schema": True}
litellm.register_model({"openai/echo": {"litellm_provider": "openai", "mode": "chat", **ABLE}})
lm15.register_provider(
    lm15.ProviderDefinition.chat(
        lm15.AccessPolicy("inferq", lm15.EndpointSupport(complete=True, stream=True), base_url=f"{URL}/v1"),
        compat=lm15.OpenAIChatCompat(),
        placeholder_key="none",
    ),
    supports=lm15.ModelSupport(function_calling=True, response_schema=True),
)
UNKNOWN = {"model": "openai/echo", "api_base": f"{URL}/v1", "api_key": "none"}
"""A model of which DSPy knows nothing, and of which it takes that it has neither tools nor structured output."""
THROUGH_LITELLM = {**UNKNOWN, "engine": "litellm"}
DECLARED = {"model": "inferq/echo"}
BY_RESPONSES = [{**UNKNOWN, "model_type": "responses"}, {**THROUGH_LITELLM, "model_type": "responses"}]
called: list[tuple[str, int]] = []


class River(BaseModel):
    name: str = Field(max_length=20)
    length: int = Field(ge=0, le=9999)


class Ask(dspy.Signature):  # type: ignore[misc]  # its packages are in an environment of their own
    question: str = dspy.InputField()
    size: Literal["small", "big"] = dspy.OutputField()
    rivers: list[River] = dspy.OutputField()


class Describe(dspy.Signature):  # type: ignore[misc]  # its packages are in an environment of their own
    question: str = dspy.InputField()
    size: Literal["small", "big"] = dspy.OutputField()
    coast: bool = dspy.OutputField()
    river: River = dspy.OutputField()


class Call(dspy.Signature):  # type: ignore[misc]  # its packages are in an environment of their own
    question: str = dspy.InputField()
    tools: list[dspy.Tool] = dspy.InputField()
    calls: dspy.ToolCalls = dspy.OutputField()


class Told(dspy.ChatAdapter):  # type: ignore[misc]  # its packages are in an environment of their own
    """Says as it is what echo is to do: the last that a module has of it."""

    def format_user_message_content(self, signature: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> str:
        return next((text for text in reversed(inputs.values()) if str(text)[:2] in ("[[", "[{")), "")


def get_weather(city: str, days: int = 1) -> str:
    """The weather."""
    called.append((city, days))
    return f"cold in {city}"


def llm(where: dict[str, Any], **more: Any) -> Any:
    called.clear()
    return dspy.LM(**{"cache": False, "num_retries": 0, "timeout": 120, **where, **more})


def fields(**texts: str) -> str:
    """What an answer is in the form of the ChatAdapter."""
    return "\n\n".join(f"[[ ## {name} ## ]]\n{text}" for name, text in {**texts, "completed": ""}.items())


RIVERS = [River(**river) for river in OSLO["rivers"]]
SAID = fields(reasoning="It is small.", size="small", rivers=json.dumps(OSLO["rivers"]))
WEATHER = {"city": "Oslo", "days": 2}
CALLS = calling(("get_weather", WEATHER), ("get_weather", {"city": "Rome"}))
CALLED = [("get_weather", WEATHER), ("get_weather", {"city": "Rome"})]


@check
def chat() -> None:
    for where in (UNKNOWN, THROUGH_LITELLM, DECLARED):
        lm = llm(where)
        equal(lm(WORDS), [WORDS])
        equal(lm(messages=[{"role": "user", "content": WORDS}], max_tokens=2), ["word0 word1"])
        usage = lm.history[0]["usage"]
        equal((usage["prompt_tokens"], usage["completion_tokens"]), (20, 20))


@check
async def asynchronous_chat() -> None:
    for where in (UNKNOWN, THROUGH_LITELLM, DECLARED):
        equal(await llm(where).acall(WORDS), [WORDS])


@check
async def responses() -> None:
    for where in BY_RESPONSES:
        lm = llm(where)
        equal([said["text"] for said in lm(WORDS)], [WORDS])
        equal([said["text"] for said in await llm(where).acall(WORDS)], [WORDS])
        equal(lm.history[0]["usage"]["total_tokens"], 40)
        with dspy.context(lm=lm, adapter=dspy.ChatAdapter(use_json_adapter_fallback=False)):
            said = dspy.Predict(Ask)(question=SAID)
        equal((said.size, said.rivers), ("small", RIVERS))


@check
def tools_and_schemas_of_responses() -> None:
    where = BY_RESPONSES[1]
    with dspy.context(lm=llm(where), adapter=Told(use_native_function_calling=True)):
        made = dspy.Predict(Call)(question=CALLS, tools=[dspy.Tool(get_weather)]).calls.tool_calls
    equal([(call.name, call.args) for call in made], CALLED)
    with dspy.context(lm=llm(where), adapter=dspy.JSONAdapter()):
        said = dspy.Predict(Describe)(question="hello")
    equal((said.size, said.coast, said.river.length), ("small", False, 0))


@check
def completions() -> None:
    equal(llm(UNKNOWN, model_type="text", max_tokens=100)(WORDS), [f"{WORDS}\n\nBEGIN RESPONSE:"])


@check
def predict() -> None:
    for where in (UNKNOWN, THROUGH_LITELLM, DECLARED):
        with dspy.context(lm=llm(where), adapter=dspy.ChatAdapter(use_json_adapter_fallback=False)):
            said = dspy.Predict(Ask)(question=SAID)
            thought = dspy.ChainOfThought(Ask)(question=SAID)
        equal((said.size, said.rivers), ("small", RIVERS))
        equal((thought.reasoning, thought.size, thought.rivers), ("It is small.", "small", RIVERS))


@check
async def predict_streamed() -> None:
    for where in (UNKNOWN, THROUGH_LITELLM, DECLARED):
        with dspy.context(lm=llm(where), adapter=dspy.ChatAdapter()):
            listener = dspy.streaming.StreamListener("answer")
            stream = dspy.streamify(dspy.Predict("question -> answer"), stream_listeners=[listener])
            parts = [part async for part in stream(question=fields(answer=WORDS))]
        pieces = [part.chunk for part in parts[:-1]]
        equal("".join(pieces).strip(), WORDS)
        at_least(len(pieces), 5)
        equal(parts[-1].answer, WORDS)


@check
def json_adapter() -> None:
    """Of a model that it does not know it asks for JSON in words alone."""
    told = json.dumps({"size": "big", "rivers": OSLO["rivers"]})
    with dspy.context(lm=llm(UNKNOWN), adapter=dspy.JSONAdapter()):
        said = dspy.Predict(Ask)(question=told)
    equal((said.size, said.rivers), ("big", RIVERS))


@check
def json_adapter_with_a_schema() -> None:
    """Echo, told no JSON, says the least that the schema allows."""
    for where in (THROUGH_LITELLM, DECLARED):
        with dspy.context(lm=llm(where), adapter=dspy.JSONAdapter()):
            said = dspy.Predict(Describe)(question="hello")
        equal((said.size, said.coast, said.river.length), ("small", False, 0))
        equal(said.river.name, "[[ ## question ## ]]"[:20])


@check
def tools() -> None:
    for where in (THROUGH_LITELLM, DECLARED):
        with dspy.context(lm=llm(where), adapter=Told(use_native_function_calling=True)):
            made = dspy.Predict(Call)(question=CALLS, tools=[dspy.Tool(get_weather)]).calls.tool_calls
        equal([(call.name, call.args) for call in made], CALLED)


@check
def one_call_that_has_to_be() -> None:
    for where in (THROUGH_LITELLM, DECLARED):
        adapter = dspy.ChatAdapter(use_native_function_calling=True, parallel_tool_calls=False)
        with dspy.context(lm=llm(where), adapter=adapter):
            predict = dspy.Predict(Call, tool_choice="required")
            [call] = predict(question="Oslo", tools=[dspy.Tool(get_weather)]).calls.tool_calls
        equal((call.name, [*call.args]), ("get_weather", ["city"]))
        assert call.args["city"].startswith("[[ ## question ## ]]\nOslo"), call.args


@check
def re_act() -> None:
    """Its tools are in words: what each turn is to do stands in what the tool has said."""

    def turn(tool: str, **more: str) -> str:
        return fields(next_thought="Well.", next_tool_name=tool, **more)

    def get_next(city: str, days: int) -> str:
        """The weather, and what is to be done next."""
        called.append((city, days))
        if city == "Oslo":
            return turn("get_next", next_tool_args='{"city": "Rome", "days": 1}')
        return turn("finish", next_tool_args="{}", reasoning="It was said.", answer="cold")

    for where in (UNKNOWN, THROUGH_LITELLM, DECLARED):
        with dspy.context(lm=llm(where), adapter=Told(use_json_adapter_fallback=False)):
            agent = dspy.ReAct("question -> answer", tools=[get_next])
            said = agent(question=turn("get_next", next_tool_args=json.dumps(WEATHER)))
        equal(called, [("Oslo", 2), ("Rome", 1)])
        equal((said.reasoning, said.answer), ("It was said.", "cold"))
        equal([said.trajectory[f"tool_name_{n}"] for n in range(3)], ["get_next", "get_next", "finish"])


@check
def re_act_v2() -> None:
    """Its tools are called: a result tells the next call, and the last of them is the answer."""

    def get_next(city: str, days: int) -> str:
        """The weather, and what is to be done next."""
        called.append((city, days))
        last = city == "Rome"
        return calling(("submit", {"answer": "cold"}) if last else ("get_next", {"city": "Rome", "days": 1}))

    for where in (THROUGH_LITELLM, DECLARED):
        with dspy.context(lm=llm(where), adapter=Told(use_native_function_calling=True)):
            agent = dspy.ReActV2("question -> answer", tools=[get_next])
            said = agent(question=calling(("get_next", WEATHER)))
        equal((said.answer, said.termination_reason), ("cold", "submit"))
        equal(called, [("Oslo", 2), ("Rome", 1)])


@check
def a_real_model() -> None:
    lm = llm({"model": "inferq/smollm2"}, temperature=0, max_tokens=800)
    with dspy.context(lm=lm, adapter=dspy.JSONAdapter()):
        said = dspy.Predict(Describe)(question="Tell me of Oslo.")
    assert said.size in ("small", "big"), said
    assert isinstance(said.coast, bool), said
    assert isinstance(said.river, River), said
    equal(len(lm.history), 1)


run()
