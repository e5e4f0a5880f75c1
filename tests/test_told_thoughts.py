"""Thoughts are told apart from the answer, and to nobody who cannot tell them apart."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.api import llm_ui
from gateway.mailbox import Mailbox
from inferq.tools import dialogue, gateway
from shared.protocol import Chat, Delta, Done, Message, Sampling, Usage
from tests.calls import said
from tests.stack import Stack

TEXT = "<think>so and so</think>It is so."


def test_thoughts_are_apart_from_the_answer(echo: Stack) -> None:
    client = echo.client(_strict_response_validation=True)
    answer = client.chat.completions.create(model="echo", messages=said(TEXT), reasoning_effort="low")
    message: Any = answer.choices[0].message
    assert (message.reasoning_content, message.content) == ("so and so", "It is so.")
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 3
    stream = client.chat.completions.stream(model="echo", messages=said(TEXT), reasoning_effort="low")
    with stream as events:
        seen = [event.delta for event in events if event.type == "content.delta"]
        final: Any = events.get_final_completion().choices[0].message
    assert (final.reasoning_content, final.content) == ("so and so", "It is so.")
    assert [text for text in seen if text] == ["It", " is", " so."]


def test_thoughts_that_are_hidden_are_counted(echo: Stack) -> None:
    more: dict[str, Any] = {"reasoning_effort": "low", "extra_body": {"include_reasoning": False}}
    answer = echo.client().chat.completions.create(model="echo", messages=said(TEXT), **more)
    message: Any = answer.choices[0].message
    assert (message.content, getattr(message, "reasoning_content", None)) == ("It is so.", None)
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 3
    stream = echo.client().chat.completions.create(model="echo", messages=said(TEXT), stream=True, **more)
    deltas = [chunk.choices[0].delta.to_dict() for chunk in stream]
    assert "".join(str(delta.get("content") or "") for delta in deltas) == "It is so."
    assert not any("reasoning_content" in delta for delta in deltas)


def test_a_terminal_shows_no_thoughts(echo: Stack, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    body = gateway._body
    monkeypatch.setattr(gateway, "_body", lambda task: {**body(task), "reasoning_effort": "low"})
    answers = gateway.GatewayAnswers(echo.url, "echo", None)
    task = Chat("echo", (Message("user", "<think>so and so</think>yes"),), Sampling(1))
    found = [event for event in answers.answer(task) if isinstance(event, Delta)]
    assert "".join(event.text for event in found if event.reasoning) == "so and so"
    monkeypatch.setattr("sys.stdin", io.StringIO("once\n"))
    heard = list[str]()
    dialogue.hold(answers, lambda text: task, {}, lambda asked, answered: heard.append(answered))
    assert (capsys.readouterr().out, heard) == ("yes\n", ["yes"])


def test_plain_text_has_no_thoughts() -> None:
    box = Mailbox("a", parts=True)
    box.put(1, "x", [Delta("hm", reasoning=True), Delta(" so", offset=2, reasoning=True), Delta("yes", offset=5)])
    box.put(4, "x", [Delta(" it is", offset=8, finish_reason="stop"), Done(Usage(1, 4))])
    first: Any = box.take(0)
    job: Any = SimpleNamespace(mailbox=box)
    assert b"".join(llm_ui._text(job, first)) == b"yes it is"
