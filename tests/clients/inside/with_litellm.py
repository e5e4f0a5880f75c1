"""The litellm SDK, by the providers that its users choose for such a server."""

from __future__ import annotations

import json
import os
import time
from typing import Any, cast

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it fetches its prices at the start

import litellm
from checks import OSLO, QUESTION, SEPARATORS, URL, WORDS, at_least, calling, check, equal, run
from pydantic import BaseModel, Field

WHERE: dict[str, Any] = {"api_base": f"{URL}/v1", "api_key": "none", "num_retries": 0, "timeout": 60}


def complete(text: Any, model: str = "openai/echo", **more: Any) -> Any:
    messages = text if isinstance(text, list) else [{"role": "user", "content": text}]
    return litellm.completion(model=model, messages=messages, **WHERE, **more)


@check
def completion() -> None:
    for provider in ("openai", "hosted_vllm", "lm_studio", "llamafile"):
        answer = complete(WORDS, f"{provider}/echo")
        equal(answer.choices[0].message.content, WORDS)
        equal((answer.usage.prompt_tokens, answer.usage.completion_tokens), (20, 20))


@check
def stream() -> None:
    for provider in ("openai", "hosted_vllm"):
        chunks = list(complete(WORDS, f"{provider}/echo", stream=True, stream_options={"include_usage": True}))
        equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), WORDS)
        equal(chunks[-1].usage.completion_tokens, 20)
        at_least(len(chunks), 5)


@check
async def acompletion() -> None:
    answer = await litellm.acompletion(model="openai/echo", messages=[{"role": "user", "content": WORDS}], **WHERE)
    equal(answer.choices[0].message.content, WORDS)


@check
def message_sent_back() -> None:
    message = complete("first").choices[0].message
    for sent in (message, message.model_dump()):
        answer = complete([{"role": "user", "content": "first"}, sent, {"role": "user", "content": "second"}])
        equal((answer.choices[0].message.content, answer.usage.prompt_tokens), ("second", 3))


@check
def cache_control_in_a_part() -> None:
    part = {"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}}
    equal(complete([{"role": "user", "content": [part]}]).choices[0].message.content, "hello")


@check
def no_thinking() -> None:
    more: dict[str, Any] = {"extra_body": {"thinking": {"type": "disabled"}}, "reasoning_effort": "none"}
    for provider in ("openai", "hosted_vllm"):
        answer = complete("hello", f"{provider}/echo", **more, allowed_openai_params=["reasoning_effort"])
        equal(answer.choices[0].message.content, "hello")


@check
def text_completion() -> None:
    answer = litellm.text_completion(model="text-completion-openai/echo", prompt=WORDS, max_tokens=3, **WHERE)
    equal(answer.choices[0].text, "word0 word1 word2")


@check
def line_separators() -> None:
    chunks = list(complete(SEPARATORS, stream=True))
    equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), SEPARATORS)


class River(BaseModel):
    name: str = Field(max_length=20)
    length: int


PARAMETERS = River.model_json_schema()
TOOLS = [{"type": "function", "function": {"name": "river", "description": "A river", "parameters": PARAMETERS}}]
RIVER = OSLO["rivers"][0]
CALLS = calling(("river", RIVER), ("river", {"name": "Tiber", "length": 405}))


@check
def tools() -> None:
    for provider in ("openai", "hosted_vllm"):
        messages: list[Any] = [{"role": "user", "content": CALLS}]
        whole = complete(messages, f"{provider}/echo", tools=TOOLS)
        chunks = list(complete(messages, f"{provider}/echo", tools=TOOLS, stream=True))
        built: Any = litellm.stream_chunk_builder(chunks)
        for answer in (whole, built):
            equal(answer.choices[0].finish_reason, "tool_calls")
            calls = answer.choices[0].message.tool_calls
            equal([json.loads(call.function.arguments)["name"] for call in calls], ["Akerselva", "Tiber"])
        results = [{"role": "tool", "tool_call_id": call.id, "content": call.function.name} for call in calls]
        again = complete([*messages, built.choices[0].message, *results], f"{provider}/echo", tools=TOOLS)
        equal(again.choices[0].message.content, "river\nriver")
        more: dict[str, Any] = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False}
        equal(len(complete("hello", f"{provider}/echo", **more).choices[0].message.tool_calls), 1)


@check
def response_format() -> None:
    for provider in ("openai", "hosted_vllm"):
        for form in (River, {"type": "json_object"}):
            answer = complete(json.dumps(RIVER), f"{provider}/echo", response_format=form)
            equal(json.loads(answer.choices[0].message.content), RIVER)


@check
def messages_of_anthropic() -> None:
    where: dict[str, Any] = {"model": "anthropic/echo", "tools": TOOLS, **WHERE, "api_base": URL}
    for text, said in ((WORDS, WORDS), (CALLS, "")):
        messages: list[Any] = [{"role": "user", "content": text}]
        whole = litellm.completion(messages=messages, max_tokens=300, **where)
        chunks = list(litellm.completion(messages=messages, max_tokens=300, stream=True, **where))
        built: Any = litellm.stream_chunk_builder(chunks)
        for answer in (whole, built):
            equal(answer.choices[0].message.content or "", said)
    calls = built.choices[0].message.tool_calls
    equal([json.loads(call.function.arguments)["name"] for call in calls], ["Akerselva", "Tiber"])
    results = [{"role": "tool", "tool_call_id": call.id, "content": call.function.name} for call in calls]
    again: Any = litellm.completion(messages=[*messages, built.choices[0].message, *results], **where)
    equal(again.choices[0].message.content, "river\nriver")


def ask(given: Any, **more: Any) -> Any:
    return litellm.responses(model="openai/echo", input=given, **WHERE, **more)


@check
async def responses() -> None:
    answer = ask(WORDS)
    equal((answer.output_text, answer.usage.input_tokens, answer.usage.output_tokens), (WORDS, 20, 20))
    events = list(ask(WORDS, stream=True))
    equal("".join(event.delta for event in events if event.type == "response.output_text.delta"), WORDS)
    equal((events[0].type, events[-1].type), ("response.created", "response.completed"))
    equal((await litellm.aresponses(model="openai/echo", input=WORDS, **WHERE)).output_text, WORDS)
    again = ask("second", previous_response_id=answer.id)
    equal((again.output_text, again.usage.input_tokens), ("second", 41))
    equal(ask(json.dumps(RIVER), text_format=River).output_text, json.dumps(RIVER))


@check
def tools_of_responses() -> None:
    tools: Any = [{"type": "function", **TOOLS[0]["function"]}]  # type: ignore[dict-item]  # a function's own object
    whole, events = ask(CALLS, tools=tools), list(ask(CALLS, tools=tools, stream=True))
    for answer in (whole, events[-1].response):
        calls = [item for item in answer.output if item.type == "function_call"]
        equal([json.loads(call.arguments)["name"] for call in calls], ["Akerselva", "Tiber"])
        results = [{"type": "function_call_output", "call_id": call.call_id, "output": call.name} for call in calls]
        equal(ask(results, tools=tools, previous_response_id=answer.id).output_text, "river\nriver")


@check
def stored_responses() -> None:
    answer = ask(WORDS)
    found: Any = litellm.get_responses(response_id=answer.id, custom_llm_provider="openai", **WHERE)
    equal(found.output_text, WORDS)
    items: Any = litellm.list_input_items(response_id=answer.id, custom_llm_provider="openai", **WHERE)
    equal(items["data"][0]["content"][0]["text"], WORDS)
    gone: Any = litellm.delete_responses(response_id=answer.id, custom_llm_provider="openai", **WHERE)
    assert gone.deleted


@check
def chats_by_responses() -> None:
    """What litellm asks of models that it knows to answer there alone."""
    answer = complete(WORDS, "openai/responses/echo")
    equal((answer.choices[0].message.content, answer.usage.prompt_tokens), (WORDS, 20))
    chunks = list(complete(WORDS, "openai/responses/echo", stream=True))
    equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), WORDS)
    calls = complete(CALLS, "openai/responses/echo", tools=TOOLS).choices[0].message.tool_calls
    equal([json.loads(call.function.arguments)["name"] for call in calls], ["Akerselva", "Tiber"])


@check
def embedding() -> None:
    for provider in ("openai", "hosted_vllm"):
        told = litellm.embedding(f"{provider}/echo", ["the red fox", "fox red the"], **WHERE)
        first, second = (each["embedding"] for each in told.data)
        equal((first, len(first), told.usage.prompt_tokens), (second, 64, 6))
    short = litellm.embedding("openai/echo", "a", dimensions=16, allowed_openai_params=["dimensions"], **WHERE)
    equal(len(short.data[0]["embedding"]), 16)


@check
async def aembedding() -> None:
    told = await litellm.aembedding("openai/echo", "the red fox", **WHERE)
    equal(len(told.data[0]["embedding"]), 64)


DOCUMENTS = ["nothing of it", "fox red the quick", "a red thing"]


@check
def rerank() -> None:
    where = {"api_key": "none"}
    for provider, base in (("hosted_vllm", f"{URL}/v1"), ("cohere", URL), ("jina_ai", f"{URL}/v1")):
        asked: dict[str, Any] = {"query": "the red fox", "documents": DOCUMENTS, "top_n": 2, "api_base": base, **where}
        told = litellm.rerank(f"{provider}/echo", **asked)
        equal([each["index"] for each in told.results], [1, 2])
        assert told.results[0]["relevance_score"] > told.results[1]["relevance_score"] > 0.5


@check
def batch() -> None:
    url = "/v1/chat/completions"
    body = {"model": "echo", "messages": [{"role": "user", "content": WORDS}]}
    line = json.dumps({"custom_id": "a", "method": "POST", "url": url, "body": body})
    where: dict[str, Any] = {"custom_llm_provider": "openai", "api_base": f"{URL}/v1", "api_key": "none"}
    file: Any = litellm.create_file(file=("requests.jsonl", line.encode()), purpose="batch", **where)
    begun: Any = litellm.create_batch(completion_window="24h", endpoint=url, input_file_id=file.id, **where)
    while (found := cast(Any, litellm.retrieve_batch(begun.id, **where))).status != "completed":
        assert found.status in ("validating", "in_progress", "finalizing"), found
        time.sleep(0.2)
    told: Any = litellm.file_content(found.output_file_id, **where)
    equal(json.loads(told.content)["response"]["body"]["choices"][0]["message"]["content"], WORDS)


@check
def a_real_model_in_a_form() -> None:
    more: dict[str, Any] = {"temperature": 0, "max_tokens": 200}
    answer = complete("Tell me of a river.", "openai/smollm2", response_format=River, **more)
    River.model_validate_json(answer.choices[0].message.content)
    more |= {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False}
    [call] = complete("Tell me of a river.", "openai/smollm2", **more).choices[0].message.tool_calls
    River.model_validate_json(call.function.arguments)


@check
def a_real_model() -> None:
    text = complete(QUESTION, "openai/smollm2", temperature=0).choices[0].message.content
    assert "Paris" in text, text


run()
