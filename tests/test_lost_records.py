"""A completed job whose record has no end any more, as where Redis has lost its last second, is told as such."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.calls import CHATS, COMPLETIONS, LATER, problem, said
from tests.stack import Stack, running, wait_for


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("stack")
    with running(folder, log_level="error") as stack:
        stack.start_gateway()
        stack.start_worker()
        yield stack


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHATS, {"messages": said("a b"), "logprobs": True}),
        (COMPLETIONS, {"prompt": "a b", "echo": True, "logprobs": 1}),
        ("/v1/messages", {"messages": said("a b"), "max_tokens": 9}),
        ("/v1/infill", {"input_prefix": "a ", "input_suffix": "b"}),
        ("/v1/tokenize", {"prompt": "a b"}),
    ],
)
def test_a_record_without_its_end_is_told_as_such(stack: Stack, path: str, body: dict[str, Any]) -> None:
    http = stack.http()
    job = http.post(path, json={"model": "echo", **body}, headers=LATER).json()["id"]
    wait_for(lambda: http.get(f"/v1/jobs/{job}").json()["status"] == "completed", "the end of the job")
    entries: Any = stack.redis.xrange(f"iq:events:{job}")
    stack.redis.xdel(f"iq:events:{job}", entries[-1][0])
    assert problem(http.get(f"/v1/jobs/{job}"), 503)["code"] == "store_unavailable"
