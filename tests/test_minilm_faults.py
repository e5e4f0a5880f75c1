"""The built-in model that embeds, served: its host is killed in the middle of many inputs."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from openai import OpenAI

from tests.stack import Stack, children, running, wait_for

MODEL = "minilm"
TEXTS = [f"The keeper of light house number {number} reads old letters." for number in range(384)]


def test_a_host_that_is_killed_loses_and_doubles_nothing(tmp_path: Path, minilm_path: Path) -> None:
    with running(tmp_path) as stack:
        stack.start_gateway()
        worker = stack.start_worker(MODEL, threads=1)
        client = stack.client()
        told = client.post("/tokenize", cast_to=object, body={"model": MODEL, "prompt": "light house"})
        assert told["tokens"] == [101, 2422, 2160, 102]  # type: ignore[index]  # an object of JSON
        whole, counts = embed(client)
        known = set(stack.redis.keys("iq:events:*"))
        with ThreadPoolExecutor(2) as pool:
            hurt = [pool.submit(embed, client) for _ in range(2)]
            wait_for(lambda: any(stack.redis.xlen(k) > 1 for k in new_streams(stack, known)), "the first vectors")
            (host,) = children(worker)
            os.kill(host, signal.SIGKILL)
            for each in hurt:
                vectors, again = each.result(60)
                assert again == counts
                assert np.einsum("ij,ij->i", vectors, whole).min() > 0.9995  # its weights are of 8 bits
        assert children(worker).isdisjoint({host})


def embed(client: OpenAI) -> tuple[npt.NDArray[np.float32], int]:
    """Their vectors, in their order, and how many tokens were counted."""
    told = client.embeddings.create(model=MODEL, input=TEXTS)
    assert [each.index for each in told.data] == [*range(len(TEXTS))]
    return np.array([each.embedding for each in told.data], np.float32), told.usage.prompt_tokens


def new_streams(stack: Stack, known: set[str | bytes]) -> set[str | bytes]:
    return set(stack.redis.keys("iq:events:*")) - known
