"""Batches as clients make them, and what they read of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from openai import OpenAI
from openai.types import Batch

from gateway.archive.archive import Archive
from gateway.archive.thing import ThingKind
from shared.config import Config
from tests.calls import CHATS, said
from tests.stack import Stack, wait_for

FINAL = ("completed", "failed", "expired", "cancelled")


def request(name: str, text: str = "one two", url: str = CHATS, **body: Any) -> dict[str, Any]:
    """A line that asks for a chat, unless its body says otherwise."""
    asked = body if url != CHATS else {"messages": said(text), **body}
    return {"custom_id": name, "method": "POST", "url": url, "body": {"model": "echo", **asked}}


def nobody() -> str:
    """A model that is not there, and that nobody has asked for: it is waited for a while."""
    return f"nobody-{uuid4().hex}"


def begin(client: OpenAI, lines: Iterable[object], endpoint: Any = CHATS, **more: Any) -> str:
    """The id of a batch of these lines, each an object, or a text as it is."""
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    file = client.files.create(file=("lines.jsonl", text.encode()), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more).id


def end(client: OpenAI, batch_id: str, seconds: float = 60) -> Batch:
    """The batch once it has ended."""

    def ended() -> Batch | None:
        found = client.batches.retrieve(batch_id)
        return found if found.status in FINAL else None

    found = wait_for(ended, "the end of the batch", seconds)
    assert isinstance(found, Batch)
    return found


def counts(batch: Batch) -> tuple[int, int, int]:
    """Lines in all, completed and failed."""
    told = batch.request_counts
    assert told
    return told.total, told.completed, told.failed


def results(client: OpenAI, file_id: str | None) -> dict[str, Any]:
    """The lines of a file of results by their `custom_id`; none where there is no file."""
    if not file_id:
        return {}
    lines = [json.loads(line) for line in client.files.content(file_id).text.splitlines()]
    found = {line["custom_id"]: line for line in lines}
    assert len(found) == len(lines), "a line is told twice"
    return found


def archive_of(stack: Stack) -> Archive:
    return Archive.open(Config(archive=str(stack.settings["archive"])))


def expire(stack: Stack, batch_id: str, owner: str = "") -> None:
    """As if its time was over."""
    archive_of(stack).change(owner, ThingKind.BATCH, batch_id, lambda facts: {**facts, "due": facts["due"] - 86_400})
