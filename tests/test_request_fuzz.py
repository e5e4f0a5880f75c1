"""Requests drawn from the API's description, in short; `python -m tests.fuzz.requests` takes longer."""

from __future__ import annotations

from typing import Any

import pytest
import requests
from schemathesis import GenerationMode

from tests.calls import CHATS, chat
from tests.fuzz.drawing import ALIKE, computed
from tests.fuzz.requests import BATCH, verdicts, weigh
from tests.stack import Stack

SEED = 11


def test_each_is_answered_or_refused_in_words(stack: Stack) -> None:
    told = list(verdicts(stack, SEED, seconds=0, without=ALIKE))
    assert [verdict for verdict in told if verdict.fault] == []
    answered = [verdict for verdict in told if verdict.status == 200]
    refused = [verdict for verdict in told if verdict.status == 400 and verdict.mode is GenerationMode.NEGATIVE]
    assert min(len(answered), len(refused)) > BATCH
    assert len({verdict.code for verdict in refused}) > 4
    assert {verdict.operation.split()[1] for verdict in answered} == computed(stack)["paths"].keys() - set(ALIKE)


@pytest.mark.parametrize(
    ("body", "mode"), [(chat("a"), GenerationMode.NEGATIVE), (chat("a", n=0), GenerationMode.POSITIVE)]
)
def test_what_must_not_be_is_seen(stack: Stack, body: dict[str, Any], mode: GenerationMode) -> None:
    answer = requests.post(f"http://127.0.0.1:{stack.port}{CHATS}", json=body, timeout=20)
    assert weigh(answer, mode)[1]  # type: ignore[arg-type]  # what it reads is there
