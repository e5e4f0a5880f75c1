"""The checks of `openai` that send many texts at once: embeddings, and batches."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Literal

from checks import URL, WORDS, check, equal
from openai import AsyncOpenAI, BadRequestError, OpenAI
from openai_client import asked, client

ALIKE = ["the red fox", "fox red the", "something else"]
"""The first two are alike to echo."""


@check
def embeddings() -> None:
    strict = OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0, _strict_response_validation=True)
    told = client.embeddings.create(model="echo", input=ALIKE)  # in base64, which is not what strict ones expect
    floats = strict.embeddings.create(model="echo", input=ALIKE, encoding_format="float")
    equal([each.index for each in told.data], [0, 1, 2])
    equal((told.usage.prompt_tokens, told.usage.total_tokens), (8, 8))
    first, second, third = (tuple(round(number, 6) for number in each.embedding) for each in told.data)
    equal([tuple(round(number, 6) for number in each.embedding) for each in floats.data], [first, second, third])
    equal((first == second, first == third, len(first)), (True, False, 64))
    short = strict.embeddings.create(model="echo", input=[[1, 2], [3]], dimensions=16, encoding_format="float")
    equal([len(each.embedding) for each in short.data], [16, 16])
    many = client.embeddings.create(model="echo", input=[f"text {number}" for number in range(2048)])
    equal([each.index for each in many.data], list(range(2048)))


@check
async def async_embeddings() -> None:
    async with AsyncOpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0, timeout=60) as client:
        for format in ("float", "base64"):
            told = await client.embeddings.create(model="echo", input=ALIKE, encoding_format=format)
            equal(len(told.data), 3)


@check
def errors_of_embeddings() -> None:
    for given, param in ((["a", ""], "input[1]"), ([], "input"), (["a"] * 2049, "input")):
        try:
            client.embeddings.create(model="echo", input=given)
            raise AssertionError("it was taken")
        except BadRequestError as exc:
            equal(exc.param, param)


CHATS: Literal["/v1/chat/completions"] = "/v1/chat/completions"
LINES = [
    {"custom_id": name, "method": "POST", "url": CHATS, "body": asked(WORDS, **more)}
    for name, more in (("first", {}), ("wrong", {"temperature": "hot"}), ("last", {"max_tokens": 3}))
]
REQUESTS = ("requests.jsonl", "\n".join(map(json.dumps, LINES)).encode())
FINAL = ("completed", "failed", "expired", "cancelled")
STRICT: dict[str, Any] = {"api_key": "none", "max_retries": 0, "_strict_response_validation": True}


def said_in(batch: Any, output: str, errors: str) -> None:
    """What its files say of each line."""
    counts = batch.request_counts
    equal((batch.status, counts.completed, counts.failed, counts.total), ("completed", 2, 1, 3))
    told = {line["custom_id"]: line["response"] for line in map(json.loads, output.splitlines())}
    texts = {name: answer["body"]["choices"][0]["message"]["content"] for name, answer in told.items()}
    equal(texts, {"first": WORDS, "last": "word0 word1 word2"})
    [wrong] = map(json.loads, errors.splitlines())
    equal((wrong["custom_id"], wrong["response"]["status_code"]), ("wrong", 400))
    equal(wrong["response"]["body"]["error"]["param"], "temperature")


@check
def batches() -> None:
    client = OpenAI(base_url=f"{URL}/v1", **STRICT)
    file = client.files.create(file=REQUESTS, purpose="batch")
    begun = client.batches.create(
        input_file_id=file.id, endpoint=CHATS, completion_window="24h", metadata={"topic": "words"}
    )
    batch = begun
    while batch.status not in FINAL:
        time.sleep(0.2)
        batch = client.batches.retrieve(batch.id)
    assert batch.output_file_id
    assert batch.error_file_id
    said_in(batch, client.files.content(batch.output_file_id).text, client.files.content(batch.error_file_id).text)
    equal((batch.metadata, batch.input_file_id), ({"topic": "words"}, file.id))
    assert begun.id in [each.id for each in client.batches.list(limit=1)]
    another = client.batches.create(input_file_id=file.id, endpoint=CHATS, completion_window="24h")
    assert client.batches.cancel(another.id).status in ("cancelling", "cancelled", "completed")


@check
async def async_batches() -> None:
    async with AsyncOpenAI(base_url=f"{URL}/v1", **STRICT) as client:
        file = await client.files.create(file=REQUESTS, purpose="batch")
        batch = await client.batches.create(input_file_id=file.id, endpoint=CHATS, completion_window="24h")
        while batch.status not in FINAL:
            await asyncio.sleep(0.2)
            batch = await client.batches.retrieve(batch.id)
        assert batch.output_file_id
        assert batch.error_file_id
        output, errors = [await client.files.content(each) for each in (batch.output_file_id, batch.error_file_id)]
        said_in(batch, output.text, errors.text)
