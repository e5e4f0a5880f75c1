"""A real model's answers keep to their form, through the unmodified client."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import jsonschema_rs
import pytest
from openai import BadRequestError, OpenAI
from pydantic import BaseModel, Field

from tests.stack import running

GBNF = 'root ::= "\\u00e9" [\\x41-\\x5A]{2} more\nmore ::= ("x" | "/" more)'


class City(BaseModel):
    name: str = Field(max_length=12)
    founded: int = Field(ge=1, le=2000)
    rivers: list[Literal["Seine", "Rhine"]] = Field(max_length=2)


SCHEMAS: list[dict[str, Any]] = [
    {**City.model_json_schema(), "additionalProperties": False},
    {
        "type": "object",
        "properties": {
            "kind": {"enum": ["a", "b", None, 3]},
            "share": {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
            "even": {"type": "integer", "multipleOf": 2, "minimum": -8, "maximum": 8},
            "day": {"type": "string", "format": "date"},
            "code": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{2}$"},
        },
        "required": ["kind", "share", "even", "day", "code"],
        "additionalProperties": False,
    },
    {
        "$defs": {
            "tree": {
                "type": "object",
                "properties": {
                    "leaf": {"type": "string", "maxLength": 8},
                    "twigs": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 1},
                },
                "required": ["leaf", "twigs"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/tree",
    },
]
ASK: Any = [{"role": "user", "content": "Tell me of a city, as JSON."}]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, smollm2_path: Path) -> Iterator[OpenAI]:
    with running(tmp_path_factory.mktemp("structured")) as stack:
        stack.start_gateway()
        stack.start_worker("smollm2", slots=4, threads=1)  # others may compute as well
        yield stack.client(timeout=300)


@pytest.mark.parametrize("number", range(len(SCHEMAS)))
def test_a_model_keeps_to_schemas(client: OpenAI, number: int) -> None:
    """At a temperature of 1: whole, and up to the limit where it does not come to an end."""
    form: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMAS[number], "strict": True}}
    answer = client.chat.completions.create(
        model="smollm2", messages=ASK, response_format=form, temperature=1, seed=11, n=2, max_tokens=64
    )
    ended = [choice for choice in answer.choices if choice.finish_reason == "stop"]
    assert ended or "$ref" in SCHEMAS[number]  # which may grow as long as it wants
    for choice in ended:
        jsonschema_rs.validate(SCHEMAS[number], json.loads(choice.message.content or ""))
    for choice in answer.choices:
        assert choice.finish_reason in ("stop", "length")
        assert (choice.message.content or "").startswith("{")


def test_a_model_keeps_to_expressions_choices_and_grammars(client: OpenAI) -> None:
    def ask(**given: Any) -> list[str]:
        prompt: Any = {"model": "smollm2", "prompt": "Call me: ", "temperature": 1, "seed": 3, "n": 2, "max_tokens": 40}
        return [choice.text for choice in client.completions.create(**prompt, extra_body=given).choices]

    assert all(re.fullmatch(r"\+\d{2} \d{3}-\d{2,4}", text) for text in ask(guided_regex=r"\+\d{2} \d{3}-\d{2,4}"))
    assert set(ask(guided_choice=["Paris / é", 'a "b"'])) <= {"Paris / é", 'a "b"'}
    assert all(re.fullmatch("é[A-Z]{2}(/*)x", text) for text in ask(grammar=GBNF))
    assert set(ask(structured_outputs={"json": {"const": [1, None]}})) == {"[1, null]"}


def test_the_clients_helpers(client: OpenAI) -> None:
    asked: Any = {"model": "smollm2", "messages": ASK, "max_tokens": 80, "temperature": 0, "response_format": City}
    parsed = client.chat.completions.parse(**asked).choices[0].message.parsed
    assert isinstance(parsed, City)
    with client.chat.completions.stream(**asked) as stream:
        events = [event.type for event in stream]
        assert stream.get_final_completion().choices[0].message.parsed == parsed
    assert "content.done" in events
    form: Any = {"type": "json_schema", "json_schema": {"strict": True, "schema": {"uniqueItems": True}}}
    with pytest.raises(BadRequestError, match="uniqueItems") as caught:
        client.chat.completions.create(model="smollm2", messages=ASK, response_format=form)
    assert (caught.value.param, caught.value.code) == ("response_format", "invalid_value")
