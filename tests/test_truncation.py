"""Conversations that are longer than a context: refused, or, where the request says so, without their oldest turns."""

from __future__ import annotations

from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from shared.cancellation import NEVER
from shared.catalogue import Model
from shared.config import Config
from shared.protocol import FineChat, FineMessage, Message, Sampling, ToolCall
from worker.engines.echo import CONTEXT, EchoEngine
from worker.trimming import trim

ECHO = EchoEngine(Model("echo", "", None, "echo", None), Config())
LONG = "a word " * 6_000
SYSTEM, OLD, LAST = Message("system", "Be brief."), Message("user", LONG), Message("user", "And now?")
CALL = FineMessage("assistant", LONG, (ToolCall("c", "look", "{}"),))
RESULT = FineMessage("tool", "blue", tool_call_id="c", name="look")


def left(*turns: Message, max_tokens: int = 10, trims: bool = True) -> list[Message]:
    """The turns that are read."""
    task = trim(FineChat("echo", turns, Sampling(1, max_tokens), trims=trims), ECHO, NEVER)
    assert isinstance(task, FineChat)
    return [*task.messages]


def test_the_oldest_turns_are_left_out() -> None:
    assert left(SYSTEM, OLD, LAST) == [SYSTEM, OLD, LAST], "it fits"
    said = Message("assistant", "Well")
    assert left(SYSTEM, OLD, said, OLD, said, OLD, said, LAST) == [SYSTEM, OLD, said, OLD, said, LAST]
    assert left(SYSTEM, OLD, said, OLD, said, OLD, said, LAST, trims=False)[1:3] == [OLD, said]


def test_an_answer_has_room_up_to_a_quarter_of_the_context() -> None:
    many = [Message("user", "a word " * 500)] * 40
    few, more = left(*many, max_tokens=10), left(*many, max_tokens=CONTEXT)
    assert (len(few), len(more)) == ((CONTEXT - 10) // 1000, CONTEXT // 4 * 3 // 1000)


def test_no_result_is_without_its_call() -> None:
    assert left(SYSTEM, LAST, CALL, RESULT, CALL, RESULT, CALL, RESULT) == [SYSTEM, CALL, RESULT, CALL, RESULT]


def test_what_cannot_be_cut_stays_whole() -> None:
    huge = [SYSTEM, Message("user", LONG * 3)]
    assert left(*huge) == huge


def test_a_response_that_may_be_cut_is_answered(client: OpenAI) -> None:
    given: Any = [{"role": "user", "content": LONG}, {"role": "assistant", "content": LONG}] * 2
    given += [{"role": "user", "content": "And now?"}]
    with pytest.raises(BadRequestError) as caught:
        client.responses.create(model="echo", input=given)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input")
    answer = client.responses.with_raw_response.create(model="echo", input=given, truncation="auto")
    response = answer.parse()
    assert (response.output_text, response.truncation, response.status) == ("And now?", "auto", "completed")
    assert response.usage
    assert response.usage.input_tokens < CONTEXT
    assert "x-inferq-ignored" not in answer.headers
    assert len(list(client.responses.input_items.list(response.id, limit=100))) == 5, "all that was given"
    with pytest.raises(BadRequestError):
        client.responses.create(model="echo", input=LONG * 3, truncation="auto")
