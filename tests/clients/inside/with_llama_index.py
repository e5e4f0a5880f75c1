"""LlamaIndex, with `OpenAILike` for chats and `OpenAIResponses`."""

from __future__ import annotations

import json
from typing import Any, Literal

from checks import OSLO, URL, WORDS, at_least, calling, check, equal, run
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai_like import OpenAILikeEmbedding
from llama_index.llms.openai import OpenAIResponses
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel, Field

called: list[tuple[str, int]] = []


class River(BaseModel):
    name: str = Field(max_length=20)
    length: int


class City(BaseModel):
    """A city and its rivers."""

    name: str = Field(max_length=20)
    size: Literal["small", "big"]
    rivers: list[River] = Field(max_length=2)


def get_weather(city: str, days: int = 1) -> str:
    """The weather."""
    called.append((city, days))
    return f"cold in {city}"


CALLS = calling(("get_weather", {"city": "Oslo", "days": 2}), ("get_weather", {"city": "Rome"}))
CALLED = [("Oslo", 2), ("Rome", 1)]


def llm(model: str = "echo", **more: Any) -> Any:
    called.clear()
    where = {"api_base": f"{URL}/v1", "api_key": "none", "max_retries": 0, "timeout": 120, "context_window": 8192}
    return OpenAILike(model=model, is_chat_model=True, is_function_calling_model=True, **where, **more)


def by_responses(model: str = "echo", **more: Any) -> Any:
    called.clear()
    where = {"api_base": f"{URL}/v1", "api_key": "none", "max_retries": 0, "timeout": 120, "context_window": 8192}
    return OpenAIResponses(model=model, **where, **more)


def said(text: str) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=text)]


@check
def chat_and_stream() -> None:
    equal(llm().chat(said(WORDS)).message.content, WORDS)
    pieces = [piece.delta for piece in llm().stream_chat(said(WORDS))]
    equal("".join(pieces), WORDS)
    at_least(len(pieces), 5)


@check
def structured_by_a_tool() -> None:
    text = calling(("City", OSLO))
    equal(llm().as_structured_llm(City).chat(said(text)).raw, City(**OSLO))
    equal([*llm().as_structured_llm(City).stream_chat(said(text))][-1].raw, City(**OSLO))


@check
def structured_by_a_form() -> None:
    structured = llm(should_use_structured_outputs=True).as_structured_llm(City)
    equal(structured.chat(said(json.dumps(OSLO))).raw, City(**OSLO))


@check
def predict_and_call() -> None:
    tools = [FunctionTool.from_defaults(get_weather)]
    llm().predict_and_call(tools, CALLS, allow_parallel_tool_calls=True)
    equal(called, CALLED)


@check
async def agent() -> None:
    for streaming in (True, False):
        agent = FunctionAgent(tools=[get_weather], llm=llm(), system_prompt="Be brief.", streaming=streaming)
        equal(str(await agent.run(CALLS)), "cold in Oslo\ncold in Rome")
        equal(sorted(called), CALLED)


@check
async def responses() -> None:
    equal(by_responses().chat(said(WORDS)).message.content, WORDS)
    pieces = [piece.delta for piece in by_responses().stream_chat(said(WORDS))]
    equal("".join(pieces), WORDS)
    at_least(len(pieces), 5)
    equal((await by_responses().achat(said(WORDS))).message.content, WORDS)
    tracking = by_responses(track_previous_responses=True)
    tracking.chat(said("first"))
    answer = tracking.chat(said("second"))
    equal((answer.message.content, answer.raw.usage.input_tokens), ("second", 3))


@check
def structured_by_responses() -> None:
    text = json.dumps(OSLO)
    equal(by_responses().as_structured_llm(City).chat(said(text)).raw, City(**OSLO))
    equal([*by_responses().as_structured_llm(City).stream_chat(said(text))][-1].raw, City(**OSLO))


@check
async def agent_by_responses() -> None:
    for streaming in (True, False):
        agent = FunctionAgent(tools=[get_weather], llm=by_responses(), system_prompt="Be brief.", streaming=streaming)
        equal(str(await agent.run(CALLS)), "cold in Oslo\ncold in Rome")
        equal(sorted(called), CALLED)


@check
async def embeddings() -> None:
    embedder = OpenAILikeEmbedding(model_name="echo", api_base=f"{URL}/v1", api_key="none", embed_batch_size=100)
    texts = ["fox red the", *(f"text {number}" for number in range(250))]
    vectors = embedder.get_text_embedding_batch(texts)
    equal((len(vectors), vectors[0]), (251, embedder.get_query_embedding("the red fox")))
    equal(await embedder.aget_text_embedding_batch(texts), vectors)


@check
def a_real_model() -> None:
    structured = llm("smollm2", max_tokens=300, temperature=0).as_structured_llm(City)
    assert isinstance(structured.chat(said("Tell me of Oslo.")).raw, City)


run()
