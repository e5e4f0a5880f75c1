"""Requests drawn from the API's description, in short; `python -m tests.fuzz.requests` takes longer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from schemathesis import GenerationMode

from gateway.schemas import FORMATS
from tests.calls import CHATS, chat
from tests.fuzz.openapi import ALIKE, BODIES, QUERIES, describe
from tests.fuzz.requests import BATCH, verdicts, weigh
from tests.stack import Stack

SEED = 11


def properties(part: Any) -> Iterator[tuple[str, Any]]:
    """Every property that a description names, and what it says of it."""
    if isinstance(part, dict):
        yield from part.get("properties", {}).items()
    for each in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from properties(each)


def says_something(schema: dict[str, Any]) -> bool:
    """An empty one allows anything: then a fuzzer proves nothing."""
    return all(one.keys() & {"type", "enum", "const", "$ref", "anyOf"} for one in schema.get("anyOf", [schema]))


def test_every_format_and_parameter_is_described() -> None:
    document = describe()
    assert {"vllm.tokenizer_info", *" ".join(BODIES.values()).split()} == FORMATS.keys()
    described = dict(properties(document["components"]))
    assert {name for wire in FORMATS.values() for name in wire.schema.fields} <= described.keys()
    assert [name for name, schema in properties(document["components"]) if not says_something(schema)] == []


def test_each_is_answered_or_refused_in_words(stack: Stack) -> None:
    told = list(verdicts(stack, SEED, seconds=0, without=ALIKE))
    assert [verdict for verdict in told if verdict.fault] == []
    answered = [verdict for verdict in told if verdict.status == 200]
    refused = [verdict for verdict in told if verdict.status == 400 and verdict.mode is GenerationMode.NEGATIVE]
    assert min(len(answered), len(refused)) > BATCH
    assert len({verdict.code for verdict in refused}) > 4
    assert len({verdict.operation for verdict in answered}) == len(QUERIES) + len(BODIES) - len(ALIKE)


@pytest.mark.parametrize(
    ("body", "mode"), [(chat("a"), GenerationMode.NEGATIVE), (chat("a", n=0), GenerationMode.POSITIVE)]
)
def test_what_must_not_be_is_seen(stack: Stack, body: dict[str, Any], mode: GenerationMode) -> None:
    answer = requests.post(f"http://127.0.0.1:{stack.port}{CHATS}", json=body, timeout=20)
    assert weigh(answer, mode)[1]  # type: ignore[arg-type]  # what it reads is there
