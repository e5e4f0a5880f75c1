"""`ChatOpenAI` of langchain-openai, by chats and by responses."""

from __future__ import annotations

from typing import Any, Literal

import tiktoken
from checks import QUESTION, URL, WORDS, at_least, calling, check, equal, run
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field

chat = ChatOpenAI(base_url=f"{URL}/v1", api_key="none", model="echo", max_retries=0, timeout=60)


def of_responses(**more: Any) -> ChatOpenAI:
    where: dict[str, Any] = {"base_url": f"{URL}/v1", "api_key": "none", "max_retries": 0, "timeout": 60}
    return ChatOpenAI(**{"model": "echo", "use_responses_api": True, **where, **more})


@check
def invoke() -> None:
    answer = chat.invoke(WORDS)
    equal(answer.content, WORDS)
    equal((answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]), (20, 20))
    equal(answer.response_metadata["finish_reason"], "stop")


@check
def stream() -> None:
    chunks = list(chat.stream(WORDS, stream_usage=True))
    equal("".join(chunk.content for chunk in chunks), WORDS)
    equal(sum(chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata), 20)
    at_least(len(chunks), 5)


@check
def batch() -> None:
    asked = [f"question {number}" for number in range(8)]
    equal([answer.content for answer in chat.batch(asked)], asked)


@check
async def ainvoke_and_astream() -> None:
    equal((await chat.ainvoke(WORDS)).content, WORDS)
    equal("".join([chunk.content async for chunk in chat.astream(WORDS)]), WORDS)
    equal((await of_responses().ainvoke(WORDS)).text, WORDS)
    equal("".join([chunk.text async for chunk in of_responses().astream(WORDS)]), WORDS)


@check
def answer_sent_back() -> None:
    first = chat.invoke("first")
    answer = chat.invoke([SystemMessage("Be brief."), HumanMessage("first"), first, HumanMessage("second")])
    equal((answer.content, answer.usage_metadata["input_tokens"]), ("second", 5))
    answer = chat.invoke([HumanMessage("first"), AIMessage(""), HumanMessage([{"type": "text", "text": "second"}])])
    equal(answer.content, "second")


@check
def log_probabilities() -> None:
    bound = chat.bind(logprobs=True, top_logprobs=2)
    whole = bound.invoke("one two").response_metadata["logprobs"]["content"]
    equal([(token["token"], len(token["top_logprobs"])) for token in whole], [("one", 2), (" two", 2)])
    pieces = [chunk.response_metadata.get("logprobs") for chunk in bound.stream("one two")]
    equal([token for piece in pieces if piece for token in piece["content"]], whole)


@check
def completions() -> None:
    equal(OpenAI(base_url=f"{URL}/v1", api_key="none", model="echo", max_retries=0).invoke(WORDS), WORDS)


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
METHODS: dict[str, str] = {
    "json_schema": CITY.model_dump_json(),
    "json_mode": CITY.model_dump_json(),
    "function_calling": calling(("City", CITY.model_dump())),
}


@check
def structured_output() -> None:
    for method, text in METHODS.items():
        for strict in (None, True, False) if method != "json_mode" else (None,):
            structured = chat.with_structured_output(City, method=method, strict=strict)
            equal(structured.invoke(text), CITY)
            equal(list(structured.stream(text))[-1], CITY)
    raw = chat.with_structured_output(City.model_json_schema(), include_raw=True).invoke(METHODS["json_schema"])
    equal((raw["parsed"], raw["parsing_error"]), (CITY.model_dump(), None))


@check
def tools() -> None:
    for choice in (None, "auto", "any", "required", "get_weather", True):
        bound = chat.bind_tools([get_weather], tool_choice=choice, strict=choice == "any")
        whole = bound.invoke(CALLS)
        streamed: Any = None
        for chunk in bound.stream(CALLS):
            streamed = chunk if streamed is None else streamed + chunk
        for answer in (whole, streamed):
            equal(answer.tool_calls[0]["args"], {"city": "Oslo", "days": 2})
            equal(answer.response_metadata["finish_reason"], "tool_calls")
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
def response() -> None:
    answer = of_responses().invoke(WORDS)
    equal(answer.text, WORDS)
    equal((answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"]), (20, 20))
    equal(answer.response_metadata["status"], "completed")
    chunks = list(of_responses().stream(WORDS))
    equal("".join(chunk.text for chunk in chunks), WORDS)
    equal(sum(chunk.usage_metadata["output_tokens"] for chunk in chunks if chunk.usage_metadata), 20)
    at_least(len(chunks), 5)


@check
def thoughts_of_responses() -> None:
    thinking = of_responses(reasoning={"effort": "high", "summary": "auto"})
    told = f"<think>one two three</think>{WORDS}"
    whole = thinking.invoke(told)
    streamed: Any = None
    for chunk in thinking.stream(told):
        streamed = chunk if streamed is None else streamed + chunk
    for answer in (whole, streamed):
        kinds = [(block["type"], block.get("reasoning") or block.get("text")) for block in answer.content_blocks]
        equal(kinds, [("reasoning", "one two three"), ("text", WORDS)])
        equal(thinking.invoke([HumanMessage("first"), answer, HumanMessage("second")]).text, "second")


@check
def structured_output_of_responses() -> None:
    for method, text in METHODS.items():
        for strict in (None, True, False) if method != "json_mode" else (None,):
            structured = of_responses().with_structured_output(City, method=method, strict=strict)
            equal(structured.invoke(text), CITY)
            equal(list(structured.stream(text))[-1], CITY)


@check
def tools_of_responses() -> None:
    for choice in (None, "auto", "any", "required", "get_weather", True):
        bound = of_responses().bind_tools([get_weather], tool_choice=choice, strict=choice == "any")
        whole = bound.invoke(CALLS)
        streamed: Any = None
        for chunk in bound.stream(CALLS):
            streamed = chunk if streamed is None else streamed + chunk
        for answer in (whole, streamed):
            equal(answer.tool_calls[0]["args"], {"city": "Oslo", "days": 2})
        equal(len(streamed.tool_calls), len(whole.tool_calls))
        results = [get_weather.invoke(call) for call in streamed.tool_calls]
        if choice in (None, "auto"):
            turns = [HumanMessage(CALLS), streamed, *results]
            equal(bound.invoke(turns).text, "cold in Oslo for 2\ncold in Rome for 1")


@check
def response_before() -> None:
    chained = of_responses(use_previous_response_id=True)
    first = chained.invoke([SystemMessage("Be brief."), HumanMessage(WORDS)])
    answer = chained.invoke([SystemMessage("Be brief."), HumanMessage(WORDS), first, HumanMessage("second")])
    equal((answer.text, answer.usage_metadata["input_tokens"]), ("second", 43))  # of which only "second" was sent
    bound = chained.bind_tools([get_weather])
    called = bound.invoke(CALLS)
    results = [get_weather.invoke(call) for call in called.tool_calls]
    equal(bound.invoke([HumanMessage(CALLS), called, *results]).text, "cold in Oslo for 2\ncold in Rome for 1")


def embeddings(**more: Any) -> OpenAIEmbeddings:
    return OpenAIEmbeddings(base_url=f"{URL}/v1", api_key="none", model="echo", max_retries=0, timeout=60, **more)


ALIKE = ["the red fox", "fox red the", "something else"]


@check
async def texts_embedded() -> None:
    embedder = embeddings(check_embedding_ctx_length=False)
    first, second, third = embedder.embed_documents(ALIKE)
    equal((first == second, first == third, len(first)), (True, False, 64))
    equal(embedder.embed_query(ALIKE[1]), first)
    equal(await embedder.aembed_documents(ALIKE), [first, second, third])
    equal(len(embeddings(check_embedding_ctx_length=False, dimensions=16).embed_query("a")), 16)


@check
def token_ids_embedded() -> None:
    """Its default: the ids of OpenAI's tokenizer, which it fetches from the internet; bytes stand for them here."""
    every = {bytes([number]): number for number in range(256)}
    bytewise = tiktoken.Encoding("bytes", pat_str=r"[\s\S]", mergeable_ranks=every, special_tokens={})
    tiktoken.registry.ENCODINGS["cl100k_base"] = bytewise
    first, second, third = embeddings().embed_documents(["abc", "cba", "a b c d" * 3000])
    equal((first == second, first == third, len(third)), (True, False, 64))


@check
def a_real_model_in_a_form() -> None:
    for responses in (False, True):
        small = of_responses(use_responses_api=responses, model="smollm2", temperature=0, max_tokens=300)
        for method in ("json_schema", "function_calling"):
            city = small.with_structured_output(City, method=method).invoke("Tell me of Oslo.")
            assert isinstance(city, City), city
        forced = small.bind_tools([get_weather], tool_choice="any", parallel_tool_calls=False)
        equal([call["name"] for call in forced.invoke("How is the weather in Oslo?").tool_calls], ["get_weather"])


@check
def a_real_model() -> None:
    answer = chat.with_config().invoke(QUESTION, model="smollm2", temperature=0)
    assert "Paris" in answer.content, answer.content


run()
