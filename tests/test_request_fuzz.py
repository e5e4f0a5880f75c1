"""Requests drawn from the API's description, in short; `python -m tests.fuzz.requests` takes longer."""

from __future__ import annotations

from typing import Any

import pytest
from requests import Session
from schemathesis import GenerationMode

from tests.calls import CHATS, chat
from tests.descriptions import Description
from tests.fuzz.drawing import ALIKE, operations
from tests.fuzz.requests import verdicts
from tests.fuzz.weighing import weigh
from tests.stack import Stack

SEED = 11
SIZE = 2
"""Requests at a time: some two hundred in all."""


def test_each_is_answered_or_refused_in_words(stack: Stack) -> None:
    told = list(verdicts(stack, SEED, size=SIZE, without=ALIKE))
    assert [(verdict.operation, verdict.fault) for verdict in told if verdict.fault] == []
    answered = [verdict for verdict in told if verdict.status == 200]
    refused = [verdict for verdict in told if verdict.status == 400 and verdict.mode is GenerationMode.NEGATIVE]
    assert min(len(answered), len(refused)) > 10 * SIZE
    assert len({verdict.code for verdict in refused}) > 4


@pytest.mark.parametrize(
    ("body", "mode"), [(chat("a"), GenerationMode.NEGATIVE), (chat("a", n=0), GenerationMode.POSITIVE)]
)
def test_what_must_not_be_is_seen(stack: Stack, body: dict[str, Any], mode: GenerationMode) -> None:
    document = stack.http().get("/openapi.json").json()
    [operation] = [each for each in operations(document) if (each.method, each.path) == ("post", CHATS)]
    case = operation.Case(body=body, media_type="application/json")
    with Session() as session:
        answer = case.call(base_url=f"http://127.0.0.1:{stack.port}", session=session)
    assert weigh(case, answer, mode, Description(document, closed=True))[1]
