"""Conversations that are compacted, by the unmodified `openai` client: what the user said stays."""

from __future__ import annotations

import base64
import itertools
from typing import Any

import openai
import pytest
from marshmallow import ValidationError

from gateway.schemas.responses.compact import CompactFormat
from gateway.schemas.responses.summaries import read_summary, write_summary
from shared.config import Config
from shared.protocol import Chat, Message
from tests.calls import LATER, job
from tests.response_items import CALL, RESULT, SAID, THOUGHT, parse
from tests.stack import Stack, wait_for

TALK: list[Any] = [
    {"role": "developer", "content": "In verse."},
    {"role": "user", "content": "Where is the sea?"},
    THOUGHT,
    CALL,
    RESULT,
    SAID,
]
READ = "Summary of the conversation so far:\n"


def asked_for(**given: Any) -> tuple[Message, ...]:
    task, options = CompactFormat().parse({"model": "m", **given}, 7, Config())
    assert isinstance(task, Chat)
    assert options.kept is None
    return task.messages


def test_the_model_reads_all_of_it_and_what_is_wanted() -> None:
    *before, last = asked_for(input=TALK, instructions="Brief.", tools=[], truncation="auto")
    assert tuple(before) == parse(input=TALK, instructions="Brief.")[0].messages
    assert (last.role, last.content[:9]) == ("user", "Summarise")
    [only] = asked_for(input="Hello")
    assert only.content == f"Hello\n\n{last.content}"


def test_compacting_and_going_on(echo: Stack) -> None:
    client = echo.client()
    compacted = client.responses.compact(model="echo", input=TALK, instructions="Brief.")
    assert compacted.object == "response.compaction"
    assert compacted.usage.total_tokens == compacted.usage.input_tokens + compacted.usage.output_tokens > 0
    told: list[Any] = [item.to_dict(warnings=False) for item in compacted.output]
    assert [(item["type"], item.get("role")) for item in told] == [
        ("message", "developer"),
        ("message", "user"),
        ("compaction", None),
    ]
    assert told[1]["content"] == [{"type": "input_text", "text": "Where is the sea?"}]
    summary = read_summary(told[-1]["encrypted_content"])
    assert summary.startswith("Summarise this")  # the echo engine says what it was told
    # The summary alone is answered to; and whoever comes after can be told of it.
    again = client.responses.create(model="echo", input=told)
    assert again.output_text == READ + summary
    [first, *_] = client.responses.input_items.list(again.id)
    assert first.to_dict() == told[-1]
    talk = client.conversations.create(items=told)
    assert client.responses.create(model="echo", input="And now?", conversation=talk.id).output_text == "And now?"
    with client.responses.connect() as there:
        there.response.create(model="echo", input=told, store=False)
        *_, last = itertools.takewhile(lambda event: event.type != "response.output_text.done", there)
        assert last.type == "response.output_text.delta"
    # What was said before is found by its response, and a summary is summed up again.
    after = client.responses.compact(model="echo", previous_response_id=again.id)
    assert [item.type for item in after.output] == ["message", "message", "compaction"]


def test_what_is_sent_along_is_told(echo: Stack) -> None:
    more = {"tools": [], "text": {"verbosity": "low"}, "parallel_tool_calls": True}
    answer = echo.http().post("/v1/responses/compact", json={"model": "echo", "input": "Hello", **more})
    assert {*answer.headers["x-inferq-ignored"].split(", ")} == {*more}


def test_a_job_like_any_other(echo: Stack) -> None:
    http = echo.http()
    later = http.post("/v1/responses/compact", json={"model": "echo", "input": "Hello"}, headers=LATER)
    job_id = later.json()["id"]
    wait_for(lambda: job(http, job_id)["status"] == "completed", "the end")
    assert job(http, job_id)["result"]["output"][-1]["type"] == "compaction"
    followed = http.get(f"/v1/jobs/{job_id}/events").text
    assert '"object":"response.compaction"' in followed


def test_what_is_refused(echo: Stack) -> None:
    client: Any = echo.client()
    with pytest.raises(openai.BadRequestError, match="model") as caught:
        client.responses.compact(model=openai.omit, input="Hello")
    assert caught.value.param == "model"
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.compact(model="echo")
    assert caught.value.param == "input"
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model="echo", input=[{"type": "compaction", "encrypted_content": "gAAAAAB"}])
    assert caught.value.param == "input[0].encrypted_content"


@pytest.mark.parametrize("said", ["", "größer\u2028", "x" * 1000])
def test_a_summary_is_read_again(said: str) -> None:
    assert read_summary(write_summary(said)) == said


@pytest.mark.parametrize(
    "content", [None, 7, "", "inferq1", "inferq1.*", "inferq1.YQ", "inferq1." + base64.b64encode(b"\xff").decode(), "é"]
)
def test_what_is_no_summary_of_ours(content: object) -> None:
    with pytest.raises(ValidationError):
        read_summary(content)
