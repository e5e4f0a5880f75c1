"""Batches are fed to their ends, whatever dies meanwhile."""

from __future__ import annotations

import json
from typing import Any

from openai import OpenAI
from openai.types import Batch

from tests.calls import said
from tests.stack import wait_for

CHATS = "/v1/chat/completions"


def request(name: str, text: str = "one two", url: str = CHATS, **more: Any) -> dict[str, Any]:
    body = {"model": "echo", "messages": said(text), **more}
    return {"custom_id": name, "method": "POST", "url": url, "body": body}


def begin(client: OpenAI, lines: list[Any], endpoint: Any = CHATS) -> Batch:
    text = "\n".join(json.dumps(line) for line in lines)
    file = client.files.create(file=("lines.jsonl", text.encode()), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")


def end(client: OpenAI, batch: Batch, seconds: float = 60) -> Batch:
    """The batch once it has ended."""

    def ended() -> Batch | None:
        found = client.batches.retrieve(batch.id)
        return found if found.status in ("completed", "failed", "expired", "cancelled") else None

    found = wait_for(ended, "the end of the batch", seconds)
    assert isinstance(found, Batch)
    return found


def results(client: OpenAI, file_id: str | None) -> dict[str, Any]:
    """The lines of a file of results by their `custom_id`."""
    if not file_id:
        return {}
    lines = [json.loads(line) for line in client.files.content(file_id).text.splitlines()]
    found = {line["custom_id"]: line for line in lines}
    assert len(found) == len(lines)
    return found


def test_a_batch_is_answered(client: OpenAI) -> None:
    lines = [request(f"r{n}", f"text {n}", temperature=0) for n in range(20)]
    lines[3]["body"]["max_tokens"] = -1
    lines[4]["body"]["stream"] = True
    batch = end(client, begin(client, lines))
    assert batch.status == "completed"
    assert batch.request_counts
    assert batch.request_counts.to_dict() == {"total": 20, "completed": 18, "failed": 2}
    output, errors = results(client, batch.output_file_id), results(client, batch.error_file_id)
    assert output.keys() | errors.keys() == {f"r{n}" for n in range(20)}
    assert errors.keys() == {"r3", "r4"}
