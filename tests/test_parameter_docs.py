"""What the docs say of parameters is what the schemas take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from marshmallow import Schema, fields

from gateway.schemas import FORMATS
from gateway.schemas.objects import Variant
from gateway.schemas.parameters import Array, Ignored, Only
from gateway.schemas.tokenizers import TokenizerFormat
from tests.documented import DOCS, ENDPOINTS, TOKENIZERS, documented, rows
from tests.parsing import CHAT, USER, chat


def walk(schema: Schema, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The fields by their names, also those of the objects within."""
    for name, field in schema.fields.items():
        yield prefix + name, field
        yield from within(field, f"{prefix}{name}")


def within(field: Any, name: str) -> Iterator[tuple[str, Any]]:
    match field:
        case Array(inner=inner):
            yield from within(inner, f"{name}[]")
        case fields.Nested():
            yield from walk(field.schema, f"{name}.")
        case Variant(kinds=kinds):
            for kind in kinds.values():
                yield from walk(kind, f"{name}.")


def known() -> dict[tuple[str, str], Any]:
    """(parameter, endpoint) -> field."""
    return {(name, each): field for each, wire in ENDPOINTS.items() for name, field in walk(wire.schema)}


def test_docs_name_every_parameter_and_no_other() -> None:
    assert {(name, endpoint) for name, endpoint, _ in documented()} == set(known())


def test_docs_name_what_is_ignored_and_told() -> None:
    said = {(name, endpoint) for name, endpoint, _ in documented("### Ignored and told")}
    assert said == {key for key, field in known().items() if isinstance(field, Ignored)}


def test_docs_tell_what_the_unsupported_are_accepted_at() -> None:
    for key, field in known().items():
        if isinstance(field, Only):
            assert (*key, " or ".join(f"`{word}`" for word in field.words or ["null"])) in documented()


def test_docs_name_the_parameters_of_those_who_ask_a_tokenizer() -> None:
    told = {kind: [FORMATS[name] for name in names] for kind, names in TOKENIZERS.items()}
    assert {id(wire) for wires in told.values() for wire in wires} == {
        id(wire) for wire in FORMATS.values() if isinstance(wire, TokenizerFormat) and wire not in ENDPOINTS.values()
    }
    said = {
        (name, kind)
        for names, where, *_ in rows(DOCS, "## Tokenizers")
        for name in re.findall(r"`([^`]+)`", names)
        for kind in (told if where == "all" else where.split(", "))
    }
    of_chats = CHAT.schema.fields.keys() - {"model", "add_generation_prompt"}
    known = {
        (name, kind) for kind, wires in told.items() for wire in wires for name in wire.schema.fields.keys() - of_chats
    }
    assert said == known


def test_what_the_docs_call_known_in_messages_changes_nothing() -> None:
    section = DOCS.read_text("utf-8").partition("\n## Messages\n")[2].partition("\n\n")[0].partition("Known are:")[2]
    names = re.findall(r"`([^`]+)`", section)
    assert {"name", "tool_call_id", "cache_control", "provider_specific_fields", "refusal"} <= set(names)
    assert not {f"messages[].{name}" for name in names} & {name for name, _ in known()}
    for name in names:
        for value in (None, "", "x" * 2000, 1, True, [], [{"a": 1}], {}, {"a": [None]}):
            part = {"type": "text", "text": "Hi", name: value}
            assert chat(messages=[{**USER, name: value}, {**USER, "content": [part]}]) == chat(messages=[USER, USER])
