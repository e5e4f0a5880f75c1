"""/v1/batches through the unmodified client: how they begin, are found and listed, and what is refused."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Literal

import httpx2 as httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import Batch, Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response
from pydantic import BaseModel

from gateway.batches.open_batches import MOST_UNFINISHED
from tests.batches import FINAL, counts, end, nobody, request, results
from tests.calls import problem, said
from tests.commands import inferq
from tests.stack import Stack

BATCHES = "/v1/batches"
CHATS: Literal["/v1/chat/completions"] = "/v1/chat/completions"


@pytest.fixture(scope="module")
def client(stack: Stack) -> OpenAI:
    return stack.client(_strict_response_validation=True)


def store(client: OpenAI, model: str = "echo", **more: Any) -> str:
    """A file of two chats."""
    lines = [json.dumps(request(name, name, model=model)) for name in ("a", "b")]
    return client.files.create(file=("lines.jsonl", "\n".join(lines).encode()), purpose="batch", **more).id


def begin(client: OpenAI, file_id: str, **more: Any) -> Batch:
    return client.batches.create(input_file_id=file_id, endpoint=CHATS, completion_window="24h", **more)


def test_a_batch_begins(client: OpenAI) -> None:
    file_id = store(client)
    batch = begin(client, file_id, metadata={"project": "a"})
    assert batch.id.startswith("batch_")
    assert (batch.object, batch.endpoint, batch.input_file_id) == ("batch", CHATS, file_id)
    assert (batch.completion_window, batch.metadata) == ("24h", {"project": "a"})
    assert batch.expires_at == batch.created_at + 86_400
    assert client.batches.retrieve(batch.id).id == batch.id


def test_batches_are_listed_page_by_page(client: OpenAI) -> None:
    file_id = store(client)
    made = [begin(client, file_id).id for _ in range(3)]
    assert [each.id for each, _ in zip(client.batches.list(limit=1), range(3), strict=False)] == made[::-1]
    page = client.batches.list(limit=2)
    assert (page.has_more, [each.id for each in page.data]) == (True, made[:0:-1])
    with pytest.raises(openai.NotFoundError):
        client.batches.list(after="batch_unknown")


def test_a_batch_is_cancelled(client: OpenAI, http: httpx.Client) -> None:
    batch = begin(client, store(client, model=nobody()))
    cancelled = client.batches.cancel(batch.id)
    assert cancelled.status in ("cancelling", "cancelled")
    assert cancelled.cancelling_at
    told = http.post(f"{BATCHES}/{batch.id}/cancel", headers={"Content-Type": "application/json"})
    assert told.json()["cancelling_at"] == cancelled.cancelling_at


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"input_file_id": None}, "input_file_id"),
        ({"input_file_id": 7}, "input_file_id"),
        ({"endpoint": "/v1/moderations"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"completion_window": None}, "completion_window"),
        ({"completion_window": "0h"}, "completion_window"),
        ({"completion_window": "1w"}, "completion_window"),
        ({"completion_window": "8d"}, "completion_window"),
        ({"completion_window": "169h"}, "completion_window"),
        ({"metadata": {"a": 7}}, "metadata.a"),
        ({"metadata": {f"{number}": "" for number in range(17)}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 60}}, "output_expires_after.seconds"),
        ({"more": 1}, "more"),
    ],
)
def test_what_is_refused(client: OpenAI, http: httpx.Client, changed: dict[str, object], param: str) -> None:
    asked = {"input_file_id": "file-1", "endpoint": CHATS, "completion_window": "24h", **changed}
    error = problem(http.post(BATCHES, json=asked), 400)
    assert error["param"] == param
    assert param.rpartition(".")[2] in error["message"]


def test_only_a_file_of_requests_will_do(client: OpenAI, http: httpx.Client) -> None:
    other = client.files.create(file=("a.txt", b"a"), purpose="user_data")
    asked = {"input_file_id": other.id, "endpoint": CHATS, "completion_window": "24h"}
    assert "its purpose is user_data" in problem(http.post(BATCHES, json=asked), 400)["message"]
    assert problem(http.post(BATCHES, json={**asked, "input_file_id": "file-1"}), 404)["param"] == "input_file_id"


def test_a_key_has_so_many_batches_at_most(client: OpenAI) -> None:
    file_id = store(client, model=nobody())
    begun = list[str]()

    def fill() -> None:
        for _ in range(MOST_UNFINISHED + 1):  # of those before, some may not have ended yet
            begun.append(begin(client, file_id).id)

    with pytest.raises(openai.RateLimitError, match="batches that have not ended"):
        fill()
    for batch_id in begun:
        client.batches.cancel(batch_id)
    assert end(client, begun[-1]).status == "cancelled"
    begin(client, file_id)


def test_a_batch_that_is_not_there(http: httpx.Client) -> None:
    problem(http.get(f"{BATCHES}/batch_unknown"), 404)
    problem(http.post(f"{BATCHES}/batch_unknown/cancel"), 404)


def test_a_file_stays_as_long_as_its_batch_may_read_it(client: OpenAI) -> None:
    file_id = store(client, expires_after={"anchor": "created_at", "seconds": 3600})
    batch = begin(client, file_id)
    assert client.files.retrieve(file_id).expires_at == batch.expires_at


def test_results_go_when_it_was_asked(client: OpenAI) -> None:
    asked = {"output_expires_after": {"anchor": "created_at", "seconds": 7200}}
    batch = end(client, begin(client, store(client), **asked).id)
    assert batch.output_file_id
    file = client.files.retrieve(batch.output_file_id)
    assert (file.purpose, file.expires_at) == ("batch_output", file.created_at + 7200)
    with pytest.raises(openai.BadRequestError, match="completed"):
        client.batches.cancel(batch.id)


async def answer(client: AsyncOpenAI, endpoint: Any, bodies: list[dict[str, Any]]) -> Batch:
    """A batch of these, once it has ended."""
    lines = [request(f"{number}", url=endpoint, **body) for number, body in enumerate(bodies)]
    content = "\n".join(map(json.dumps, lines)).encode()
    file = await client.files.create(file=("lines.jsonl", content), purpose="batch")
    batch = await client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")
    while batch.status not in FINAL:
        await asyncio.sleep(0.2)
        batch = await client.batches.retrieve(batch.id)
    return batch


def test_a_thousand_requests_of_four_endpoints_at_once(client: OpenAI, stack: Stack, http: httpx.Client) -> None:
    """Through the asynchronous client; what comes back is what OpenAI's types say."""
    texts = [f"text {number}" for number in range(250)]
    asked: dict[str, tuple[type[BaseModel], list[dict[str, Any]]]] = {
        CHATS: (ChatCompletion, [{"messages": said(text)} for text in texts]),
        "/v1/completions": (Completion, [{"prompt": text} for text in texts]),
        "/v1/responses": (Response, [{"input": text} for text in texts]),
        "/v1/embeddings": (CreateEmbeddingResponse, [{"input": text} for text in texts]),
    }

    async def ask() -> list[Batch]:
        base = f"{stack.url}/v1"
        async with AsyncOpenAI(base_url=base, api_key="test", max_retries=0, _strict_response_validation=True) as them:
            each = (answer(them, endpoint, bodies) for endpoint, (_, bodies) in asked.items())
            return await asyncio.gather(*each)

    before = ended(http)
    for batch, (kind, bodies) in zip(asyncio.run(ask()), asked.values(), strict=True):
        assert (batch.status, counts(batch), batch.error_file_id) == ("completed", (250, 250, 0), None)
        lines = results(client, batch.output_file_id)
        assert lines.keys() == {f"{number}" for number in range(250)}
        for line in lines.values():
            kind.model_validate(line["response"]["body"])
        assert batch.usage
        assert batch.usage.input_tokens == 2 * len(bodies)
    assert ended(http) >= before + 1000  # other batches of the stack may end meanwhile


def ended(http: httpx.Client) -> int:
    """Requests of batches that were answered, as the metrics tell."""
    found = re.search(r'^inferq_batch_requests_total{outcome="completed"} (\S+)$', http.get("/metrics").text, re.M)
    return int(float(found[1])) if found else 0


def test_it_is_shown_by_the_status(client: OpenAI, stack: Stack) -> None:
    batch = begin(client, store(client, model=nobody()))
    places = {f"INFERQ_{name.upper()}": str(stack.settings[name]) for name in ("redis_url", "archive")}
    shown = json.loads(inferq("status", "--json", **places).stdout)["batches"]
    (found,) = [each for each in shown if each["id"] == batch.id]
    assert (found["endpoint"], found["due"], found["completed"]) == (CHATS, batch.expires_at, 0)
    assert batch.id in inferq("status", **places).stdout
    client.batches.cancel(batch.id)
