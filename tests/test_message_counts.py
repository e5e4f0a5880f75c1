"""Anthropic's requests through the gateway: what is told of them, and how many tokens they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
import requests

from tests.messages import CALL, F, assistant, result, text, user
from tests.parsing import USER
from tests.stack import Stack, running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("counts"), max_tokens=50) as stack:
        stack.start_gateway(processes=1)
        stack.start_worker()
        yield stack


@pytest.fixture(scope="module")
def client(stack: Stack) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=f"http://127.0.0.1:{stack.port}", api_key="any", max_retries=0)


CONVERSATIONS: list[dict[str, Any]] = [
    {"messages": [USER]},
    {"messages": [USER], "system": [text("You are."), text("Be kind.")]},
    {"messages": [*CALL, user(result([text("4")]), text("And?"))], "tools": [F]},
    {"messages": [USER, assistant(text("The"))]},
    {"messages": [USER], "thinking": {"type": "enabled", "budget_tokens": 1024}, "tools": [F]},
]


@pytest.mark.parametrize("given", CONVERSATIONS, ids=str)
def test_as_many_as_an_answer_has_read(client: anthropic.Anthropic, given: Any) -> None:
    counted = client.messages.count_tokens(model="echo", **given)
    answer = client.messages.create(model="echo", max_tokens=2000, **given)
    assert counted.input_tokens == answer.usage.input_tokens > 0


def test_what_is_asked_for_in_vain_is_told(stack: Stack) -> None:
    sent: dict[str, Any] = {
        "model": "echo",
        "max_tokens": 51,
        "messages": [USER],
        "metadata": {"user_id": "x"},
        "temperature": 0,
    }
    for path, told in (("", "metadata, max_tokens"), ("/count_tokens", "max_tokens, temperature, metadata")):
        answer = requests.post(f"http://127.0.0.1:{stack.port}/v1/messages{path}", json=sent, timeout=20)
        assert answer.status_code == 200
        assert sorted(answer.headers["x-inferq-ignored"].split(", ")) == sorted(told.split(", "))
        within = requests.post(
            f"http://127.0.0.1:{stack.port}/v1/messages{path}", json={**sent, "max_tokens": 50}, timeout=20
        )
        assert ("max_tokens" in within.headers["x-inferq-ignored"]) == bool(path)


def test_a_refusal_is_anthropics(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.count_tokens(model="echo", messages=[user({"type": "image", "source": {}})])  # type: ignore[list-item]  # the client's types want dicts of their own
    body: Any = caught.value.body
    assert body["error"]["type"] == "invalid_request_error"
    assert "messages[0].content[0].type" in body["error"]["message"]
    with pytest.raises(anthropic.NotFoundError):
        client.messages.count_tokens(model="none", messages=[USER])  # type: ignore[list-item]  # the client's types want dicts of their own
