"""The `openai` package for Python; the same calls in its releases 1 and 3."""

from __future__ import annotations

import json
from typing import Any, Literal

import openai_many  # noqa: F401  # its checks are among these
from checks import OSLO, QUESTION, SEPARATORS, URL, WORDS, at_least, calling, check, equal, run
from openai import AsyncOpenAI, BadRequestError, NotFoundError, pydantic_function_tool
from openai_client import asked, client, create
from pydantic import BaseModel, Field


@check
def models() -> None:
    listed = {model.id: model.object for model in client.models.list()}
    equal(listed, dict.fromkeys(("echo", "minilm", "smollm2"), "model"))
    equal(client.models.retrieve("echo").id, "echo")


@check
def chat() -> None:
    answer = create(**asked(WORDS))
    equal(answer.choices[0].message.content, WORDS)
    equal(answer.choices[0].finish_reason, "stop")
    equal((answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens), (20, 20, 40))


@check
def stream() -> None:
    chunks = list(create(**asked(WORDS, stream=True, stream_options={"include_usage": True})))
    equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices), WORDS)
    equal([choice.finish_reason for chunk in chunks for choice in chunk.choices][-1], "stop")
    equal((chunks[-1].choices, chunks[-1].usage.completion_tokens), ([], 20))
    at_least(len(chunks), 5)


@check
def stream_helper() -> None:
    with client.chat.completions.stream(**asked(WORDS)) as stream:
        kinds = [event.type for event in stream]
        equal(stream.get_final_completion().choices[0].message.content, WORDS)
    at_least(kinds.count("content.delta"), 3)
    equal(kinds.count("content.done"), 1)


@check
async def async_chat_and_stream() -> None:
    async with AsyncOpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0, timeout=60) as client:
        create: Any = client.chat.completions.create
        answer = await create(**asked(WORDS))
        equal(answer.choices[0].message.content, WORDS)
        chunks = [chunk async for chunk in await create(**asked(WORDS, stream=True))]
        equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks), WORDS)
        at_least(len(chunks), 5)


@check
def message_sent_back() -> None:
    message = create(**asked("first")).choices[0].message
    for sent in (message, message.model_dump(), message.to_dict()):
        turns = [{"role": "user", "content": "first"}, sent, {"role": "user", "content": "second"}]
        answer = create(model="echo", messages=turns)
        equal((answer.choices[0].message.content, answer.usage.prompt_tokens), ("second", 3))


@check
def completions() -> None:
    answer: Any = client.completions.create(model="echo", prompt=WORDS, max_tokens=3)
    equal((answer.choices[0].text, answer.choices[0].finish_reason), ("word0 word1 word2", "length"))
    chunks = list(client.completions.create(model="echo", prompt=WORDS, max_tokens=20, stream=True))
    equal("".join(chunk.choices[0].text for chunk in chunks if chunk.choices), WORDS)


@check
def log_probabilities() -> None:
    """Whole as in a stream, by its helper too; and of a prompt."""
    body = asked("one two three", logprobs=True, top_logprobs=2)
    whole = create(**body).choices[0].logprobs.content
    equal([(token.token, len(token.top_logprobs)) for token in whole], [("one", 2), (" two", 2), (" three", 2)])
    pieces = [chunk.choices[0].logprobs for chunk in create(**body, stream=True)]
    equal([token for piece in pieces if piece for token in piece.content], whole)
    with client.chat.completions.stream(**body) as stream:
        final: Any = stream.get_final_completion().choices[0].logprobs
        equal(final.content, whole)
    echoed: Any = client.completions.create(model="echo", prompt="one two", echo=True, logprobs=1, max_tokens=0)
    told = echoed.choices[0].logprobs
    equal((told.tokens, told.text_offset, told.token_logprobs[0]), (["one", " two"], [0, 3], None))


@check
def raw_headers() -> None:
    raw = client.chat.completions.with_raw_response.create(**asked("hello"))
    equal(raw.headers["x-request-id"][:4], "req_")
    equal(raw.headers["location"], f"/v1/jobs/{raw.parse().id}")


@check
def parameters_of_other_servers() -> None:
    """Those that can be honoured are; those that ask for nothing here are named."""
    honoured = {"repetition_penalty": 1.1, "min_tokens": 1, "top_k": -1, "min_p": 0.05}
    ignored = {"num_ctx": 4096, "keep_alive": "5m"}
    raw = client.chat.completions.with_raw_response.create(**asked(WORDS), extra_body=honoured | ignored)
    equal(raw.parse().choices[0].message.content, WORDS)
    equal({name.strip() for name in raw.headers["x-inferq-ignored"].split(",")}, set(ignored))


@check
def line_separators() -> None:
    equal(create(**asked(SEPARATORS)).choices[0].message.content, SEPARATORS)
    chunks = list(create(**asked(SEPARATORS, stream=True)))
    equal("".join(chunk.choices[0].delta.content or "" for chunk in chunks), SEPARATORS)


@check
def errors() -> None:
    try:
        create(**asked("hello", temperature="hot"))
    except BadRequestError as exc:
        equal(exc.param, "temperature")
    else:
        raise AssertionError("a temperature that is no number was taken")
    try:
        create(model="nobody", messages=[{"role": "user", "content": "hello"}])
    except NotFoundError as exc:
        equal(exc.code, "model_not_found")
    else:
        raise AssertionError("a model that is not there answered")


class River(BaseModel):
    name: str = Field(max_length=20)
    length: int


class City(BaseModel):
    name: str = Field(max_length=20)
    size: Literal["small", "big"]
    rivers: list[River] = Field(max_length=2)


TOOLS = [pydantic_function_tool(City), pydantic_function_tool(River)]
CALLS = calling(("City", OSLO), ("River", {"name": "Tiber", "length": 405}))
CALLED = [City(**OSLO), River(name="Tiber", length=405)]


def parsed_calls(answer: Any) -> list[Any]:
    equal(answer.choices[0].finish_reason, "tool_calls")
    return [call.function.parsed_arguments for call in answer.choices[0].message.tool_calls]


@check
def parsed_answer() -> None:
    body = asked(json.dumps(OSLO), response_format=City)
    equal(client.chat.completions.parse(**body).choices[0].message.parsed, City(**OSLO))
    with client.chat.completions.stream(**body) as stream:
        deltas = [event.parsed for event in stream if event.type == "content.delta"]
        equal(stream.get_final_completion().choices[0].message.parsed, City(**OSLO))
    at_least(len(deltas), 3)


@check
def parsed_calls_of_tools() -> None:
    equal(parsed_calls(client.chat.completions.parse(**asked(CALLS, tools=TOOLS))), CALLED)
    with client.chat.completions.stream(**asked(CALLS, tools=TOOLS)) as stream:
        events: list[Any] = [event for event in stream if event.type.startswith("tool_calls")]
        equal(parsed_calls(stream.get_final_completion()), CALLED)
    done = [event for event in events if event.type.endswith("done")]
    equal((done[0].index, done[0].name, done[0].parsed_arguments), (0, "City", CALLED[0]))
    at_least(len(events) - len(done), 4)


@check
async def async_parsed_stream() -> None:
    client = AsyncOpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0, timeout=60)
    async with client, client.chat.completions.stream(**asked(CALLS, tools=TOOLS)) as stream:
        equal(parsed_calls(await stream.get_final_completion()), CALLED)


@check
def loop_of_tools() -> None:
    """Three turns, each with the calls and results of those before."""
    messages: list[Any] = []
    for turn in range(3):
        messages.append({"role": "user", "content": CALLS})
        message = create(model="echo", messages=messages, tools=TOOLS).choices[0].message
        messages.append(message if turn % 2 else message.model_dump())
        for number, call in enumerate(message.tool_calls):
            messages.append({"role": "tool", "tool_call_id": call.id, "content": f"{turn}:{number}"})
        message = create(model="echo", messages=messages, tools=TOOLS).choices[0].message
        equal((message.content, message.tool_calls), (f"{turn}:0\n{turn}:1", None))
        messages.append(message)


@check
def choice_of_tools() -> None:
    def names(**more: Any) -> list[str]:
        message = create(**asked(more.pop("text", CALLS), tools=TOOLS, **more)).choices[0].message
        return [call.function.name for call in message.tool_calls or []]

    river = {"type": "function", "function": {"name": "River"}}
    equal(names(parallel_tool_calls=False), ["City"])
    equal(names(tool_choice="none"), [])
    equal(names(tool_choice="required", text="hello"), ["City"])
    equal(names(tool_choice=river), ["River"])
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [river]}}
    equal(names(tool_choice=allowed, text="hello"), ["River"])


@check
def custom_tool() -> None:
    tools = [{"type": "custom", "custom": {"name": "run", "description": "Runs Python."}}]
    call = create(**asked('{"name": "run", "input": "print(1)"}', tools=tools)).choices[0].message.tool_calls[0]
    equal((call.type, call.custom.name, call.custom.input), ("custom", "run", "print(1)"))


@check
def functions() -> None:
    """As they were before there were tools."""
    known = [{"name": "city", "parameters": City.model_json_schema()}]
    body = asked(calling(("city", OSLO)), functions=known, function_call={"name": "city"})
    message = create(**body).choices[0].message
    equal((message.function_call.name, json.loads(message.function_call.arguments)), ("city", OSLO))
    with client.chat.completions.stream(**body) as stream:
        final: Any = stream.get_final_completion().choices[0].message.function_call
        equal((final.name, json.loads(final.arguments)), ("city", OSLO))
    turns = [{"role": "user", "content": "hello"}, message, {"role": "function", "name": "city", "content": "done"}]
    equal(create(model="echo", messages=turns, functions=known).choices[0].message.content, "done")


@check
def responses() -> None:
    answer = client.responses.create(model="echo", input=WORDS)
    equal((answer.output_text, answer.usage and answer.usage.output_tokens), (WORDS, 20))
    with client.responses.stream(model="echo", input=WORDS) as stream:
        pieces = [event.delta for event in stream if event.type == "response.output_text.delta"]
        equal(("".join(pieces), stream.get_final_response().output_text), (WORDS, WORDS))
    at_least(len(pieces), 5)
    again = client.responses.create(model="echo", input="second", previous_response_id=answer.id)
    equal((again.output_text, again.usage and again.usage.input_tokens), ("second", 41))
    parsed: Any = client.responses.parse(model="echo", input=json.dumps(OSLO), text_format=City)
    equal(parsed.output_parsed, City(**OSLO))


@check
def background() -> None:
    begun: Any = client.responses.create(model="echo", input=WORDS, background=True, stream=True)
    numbers, response_id = [], ""
    for event in begun:
        response_id = response_id or event.response.id
        numbers.append(event.sequence_number)
        if len(numbers) == 4:
            break
    rest = list(client.responses.retrieve(response_id, stream=True, starting_after=numbers[-1]))
    equal([event.sequence_number for event in rest], [*range(4, 4 + len(rest))])
    equal(client.responses.retrieve(response_id).output_text, WORDS)
    another = client.responses.create(model="echo", input=f"{WORDS} {WORDS}", background=True)
    equal(client.responses.cancel(another.id).status, "cancelled")


@check
def what_is_stored() -> None:
    conversation = client.conversations.create(metadata={"topic": "words"})
    for text in ("first", "second"):
        client.responses.create(model="echo", input=text, conversation=conversation.id)
    items: Any = client.conversations.items.list(conversation.id, order="asc", limit=3)
    equal([item.content[0].text for item in items], ["first", "first", "second", "second"])
    kept = create(**asked(WORDS, store=True, metadata={"topic": conversation.id}))
    equal([chat.id for chat in client.chat.completions.list(metadata={"topic": conversation.id})], [kept.id])
    equal(client.chat.completions.retrieve(kept.id).choices[0].message.content, WORDS)
    equal([message.content for message in client.chat.completions.messages.list(kept.id)], [WORDS])


@check
def files() -> None:
    content = WORDS.encode() * 50
    made = client.files.create(file=("words.txt", content), purpose="user_data")
    sent = client.uploads.upload_file_chunked(
        file=content,
        filename="words.txt",
        bytes=len(content),
        mime_type="text/plain",
        purpose="user_data",
        part_size=999,
    )
    for file in (made, sent.file):
        assert file
        equal((file.bytes, client.files.content(file.id).content), (len(content), content))
        assert file.id in [each.id for each in client.files.list(limit=2)]
        assert client.files.delete(file.id).deleted


@check
def a_real_model_in_a_form() -> None:
    more: dict[str, Any] = {"model": "smollm2", "temperature": 0, "max_tokens": 300}
    body = asked("Tell me of Oslo.") | more
    assert client.chat.completions.parse(**body, response_format=City).choices[0].message.parsed
    choice: dict[str, Any] = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False}
    called = parsed_calls(client.chat.completions.parse(**body, **choice))
    equal([type(arguments) in (City, River) for arguments in called], [True])


@check
def a_real_model() -> None:
    answer = create(model="smollm2", messages=[{"role": "user", "content": QUESTION}], temperature=0)
    assert "Paris" in answer.choices[0].message.content, answer.choices[0].message.content
    try:
        client.embeddings.create(model="smollm2", input=QUESTION)
        raise AssertionError("a model of chats has embedded")
    except BadRequestError as exc:
        equal((exc.param, "Models that can: echo, minilm" in str(exc)), ("model", True))
    told = client.embeddings.create(model="minilm", input=["A dog barks.", "A puppy yaps.", "Stocks fell."])
    first, second, third = (each.embedding for each in told.data)
    near, far = (sum(a * b for a, b in zip(first, other, strict=True)) for other in (second, third))
    assert near > 0.3 > 0.1 > far, (near, far)


run()
