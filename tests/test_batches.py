"""/v1/batches through the unmodified client: how they begin, are found and listed, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence

import httpx2 as httpx
import openai
import pytest
from openai import OpenAI
from openai.types import Batch

from tests.calls import problem
from tests.commands import inferq
from tests.stack import Stack

CHATS, BATCHES = "/v1/chat/completions", "/v1/batches"


@pytest.fixture(scope="module")
def client(stack: Stack) -> OpenAI:
    return stack.client(_strict_response_validation=True)


def store(client: OpenAI, texts: Sequence[str], model: str = "echo") -> str:
    """A file of chats."""
    lines = [
        {"custom_id": f"{number}", "method": "POST", "url": CHATS, "body": chat(text, model)}
        for number, text in enumerate(texts)
    ]
    content = "\n".join(map(json.dumps, lines)).encode()
    return client.files.create(file=("lines.jsonl", content), purpose="batch").id


def chat(text: str, model: str) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


def begin(client: OpenAI, file_id: str, **more: object) -> Batch:
    return client.batches.create(
        input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h", extra_body=more
    )


def test_a_batch_begins(client: OpenAI) -> None:
    file_id = store(client, ["a"])
    batch = begin(client, file_id, metadata={"project": "a"})
    assert batch.id.startswith("batch_")
    assert (batch.object, batch.endpoint, batch.input_file_id) == ("batch", CHATS, file_id)
    assert (batch.completion_window, batch.metadata) == ("24h", {"project": "a"})
    assert batch.expires_at == batch.created_at + 86_400
    assert client.batches.retrieve(batch.id).id == batch.id


def test_batches_are_listed_page_by_page(client: OpenAI) -> None:
    file_id = store(client, ["a"])
    made = [begin(client, file_id).id for _ in range(3)]
    assert [each.id for each, _ in zip(client.batches.list(limit=1), range(3), strict=False)] == made[::-1]
    page = client.batches.list(limit=2)
    assert (page.has_more, [each.id for each in page.data]) == (True, made[:0:-1])
    with pytest.raises(openai.NotFoundError):
        client.batches.list(after="batch_unknown")


def test_a_batch_is_cancelled(client: OpenAI, http: httpx.Client) -> None:
    batch = begin(client, store(client, ["a"], model="unknown"))
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


def test_a_batch_that_is_not_there(http: httpx.Client) -> None:
    problem(http.get(f"{BATCHES}/batch_unknown"), 404)
    problem(http.post(f"{BATCHES}/batch_unknown/cancel"), 404)


def test_a_file_stays_as_long_as_its_batch_may_read_it(client: OpenAI) -> None:
    file = client.files.create(
        file=("lines.jsonl", b"{}"), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    batch = begin(client, file.id)
    assert client.files.retrieve(file.id).expires_at == batch.expires_at


def test_it_is_shown_by_the_status(client: OpenAI, stack: Stack) -> None:
    batch = begin(client, store(client, ["a", "b"], model="unknown"))
    places = {f"INFERQ_{name.upper()}": str(stack.settings[name]) for name in ("redis_url", "archive")}
    shown = json.loads(inferq("status", "--json", **places).stdout)["batches"]
    (found,) = [each for each in shown if each["id"] == batch.id]
    assert (found["endpoint"], found["due"], found["completed"]) == (CHATS, batch.expires_at, 0)
    assert batch.id in inferq("status", **places).stdout
    client.batches.cancel(batch.id)
