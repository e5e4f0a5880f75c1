"""`ChatOpenAI` of langchain-openai."""

from __future__ import annotations

from checks import QUESTION, URL, WORDS, at_least, check, equal, run
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI, OpenAI

chat = ChatOpenAI(base_url=f"{URL}/v1", api_key="none", model="echo", max_retries=0, timeout=60)


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


@check
def answer_sent_back() -> None:
    first = chat.invoke("first")
    answer = chat.invoke([SystemMessage("Be brief."), HumanMessage("first"), first, HumanMessage("second")])
    equal((answer.content, answer.usage_metadata["input_tokens"]), ("second", 5))
    answer = chat.invoke([HumanMessage("first"), AIMessage(""), HumanMessage([{"type": "text", "text": "second"}])])
    equal(answer.content, "second")


@check
def completions() -> None:
    equal(OpenAI(base_url=f"{URL}/v1", api_key="none", model="echo", max_retries=0).invoke(WORDS), WORDS)


@check
def a_real_model() -> None:
    answer = chat.with_config().invoke(QUESTION, model="smollm2", temperature=0)
    assert "Paris" in answer.content, answer.content


run()
