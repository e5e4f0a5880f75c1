"""/v1/embeddings: the vectors of texts, through the unmodified client."""

from __future__ import annotations

import math

import httpx2 as httpx
import numpy as np
from openai import OpenAI

from tests.calls import job, problem, submit
from tests.stack import wait_for

EMBEDDINGS = "/v1/embeddings"


def test_texts_with_the_same_words_are_alike(client: OpenAI) -> None:
    told = client.embeddings.create(model="echo", input=["the red fox", "fox red the", "something else"])
    assert [each.index for each in told.data] == [0, 1, 2]
    first, second, third = (np.array(each.embedding) for each in told.data)
    assert math.isclose(first @ second, 1, abs_tol=1e-6)
    assert first @ third < 0.9
    assert (told.usage.prompt_tokens, told.usage.total_tokens) == (8, 8)


def test_many_are_spread_over_the_slots(client: OpenAI) -> None:
    texts = [f"text {number} of many" for number in range(2048)]
    told = client.embeddings.create(model="echo", input=texts)
    assert [each.index for each in told.data] == list(range(2048))
    alone = client.embeddings.create(model="echo", input=texts[1234])
    assert told.data[1234].embedding == alone.data[0].embedding


def test_first_dimensions_alone(client: OpenAI, http: httpx.Client) -> None:
    whole = client.embeddings.create(model="echo", input="a b c d", encoding_format="float").data[0].embedding
    short = client.embeddings.create(model="echo", input="a b c d", dimensions=16).data[0].embedding
    length = math.sqrt(sum(each**2 for each in whole[:16]))
    assert np.allclose(short, np.array(whole[:16]) / (length or 1))
    error = problem(http.post(EMBEDDINGS, json={"model": "echo", "input": "a", "dimensions": 17}), 400)
    assert (error["param"], error["code"]) == ("dimensions", "unsupported_value")


def test_later(http: httpx.Client) -> None:
    job_id = submit(http, EMBEDDINGS, {"model": "echo", "input": "a"})
    told = wait_for(lambda: (found := job(http, job_id))["status"] == "completed" and found, "the vector")
    assert told["result"]["data"][0]["index"] == 0
