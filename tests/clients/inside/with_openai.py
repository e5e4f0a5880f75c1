"""The `openai` package for Python; the same calls in its releases 1 and 3."""

from __future__ import annotations

from typing import Any

from checks import QUESTION, SEPARATORS, URL, WORDS, at_least, check, equal, run
from openai import AsyncOpenAI, BadRequestError, NotFoundError, OpenAI

client = OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0, timeout=60)


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "echo", "messages": [{"role": "user", "content": text}], **more}


def create(**body: Any) -> Any:
    return client.chat.completions.create(**body)


@check
def models() -> None:
    listed = {model.id: model.object for model in client.models.list()}
    equal(listed, {"echo": "model", "smollm2": "model"})
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


@check
def a_real_model() -> None:
    answer = create(model="smollm2", messages=[{"role": "user", "content": QUESTION}], temperature=0)
    assert "Paris" in answer.choices[0].message.content, answer.choices[0].message.content


run()
