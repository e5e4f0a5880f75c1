"""What the echo engine says when it is told to call, to think, or to write JSON: tests and chaos rely on it."""

from __future__ import annotations

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # there are no types of it
import pytest

from shared.errors import InvalidRequest
from shared.protocol import Completion, Delta, FineChat, FineMessage, Grammar, Message, Sampling, Tool
from tests.answers import deltas, finish, run
from tests.engines import ENGINES, load
from worker.engines.echo_answer import THOUGHTS, answer
from worker.engines.echo_json import keep

SEARCH = Tool("search", parameters='{"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}')
SHELL = Tool("shell", custom=True)
CALL = '{"name": "search", "arguments": {"q": "a b"}}'


def told(text: str, *later: Message, grammar: Grammar | None = None, **more: Any) -> list[tuple[str, str]]:
    """What comes of what: thoughts, content, or the tool that is called."""
    task = FineChat("echo", (Message("user", text), *later), Sampling(1, grammar=grammar), **more)
    names = {True: "thoughts", False: "content"}
    return [(part.call.name if part.call else names[part.reasoning], part.text) for part in answer(task)]


def test_json_that_names_a_tool_calls_it() -> None:
    tools = (SEARCH, SHELL)
    both = f'[{{"content": "Let me see."}}, {CALL}, {{"name": "shell", "input": "ls -l"}}, {{"name": "other"}}]'
    assert told(CALL, tools=tools) == [("search", '{"q": "a b"}')]
    assert told(both, tools=tools) == [("content", "Let me see."), ("search", '{"q": "a b"}'), ("shell", "ls -l")]
    assert told(both, tools=tools, parallel_calls=False) == [("content", "Let me see."), ("search", '{"q": "a b"}')]
    for text in ("just text", '{"name": "other"}', "[]", "[1]", '{"name": 1}', "[" * 9999):
        assert told(text, tools=tools) == [("content", text)]
    assert told(CALL) == [("content", CALL)]


def test_a_call_that_must_come_comes() -> None:
    assert told("what?", tools=(SEARCH, SHELL), must_call=True) == [("search", '{"q": "what?"}')]
    assert told("ls -l", tools=(SHELL,), must_call=True) == [("shell", "ls -l")]
    assert told(CALL, tools=(SHELL,), must_call=True) == [("shell", CALL)]
    assert told("x", tools=(Tool("none"),), must_call=True) == [("none", "{}")]


def test_results_are_said_and_may_ask_for_the_next_call() -> None:
    results = [FineMessage("tool", text, tool_call_id="1") for text in ("sunny", "and warm")]
    called = Message("assistant", "")
    assert told(CALL, called, *results, tools=(SEARCH,)) == [("content", "sunny\nand warm")]
    assert told("hm", called, FineMessage("tool", CALL), tools=(SEARCH,)) == [("search", '{"q": "a b"}')]
    assert told("one", called, results[0], called, Message("user", "two")) == [("content", "two")]


def test_it_thinks_when_it_is_told_to() -> None:
    text = "<think>so and so</think>\n\nyes"
    assert told(text) == told(text, effort="none") == told(text, thinking=False) == [("content", text)]
    assert told(text, thinking=True) == told(text, effort="low") == [("thoughts", "so and so"), ("content", "yes")]
    assert told("yes", thinking=True) == [("thoughts", THOUGHTS), ("content", "yes")]
    assert told(text, thinking=True, thinking_budget=2) == [("thoughts", "so and"), ("content", "yes")]
    assert told(text, thinking=True, thinking_budget=0) == [("content", "yes")]
    assert told(f"<think>hm</think>{CALL}", tools=(SEARCH,), thinking=True)[1][0] == "search"


PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 3, "maxLength": 8},
        "age": {"type": "integer", "minimum": 18, "exclusiveMaximum": 99, "multipleOf": 5},
        "debt": {"type": "number", "maximum": -0.5},
        "kind": {"enum": ["a", "b"]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 2},
        "more": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        "all": {"allOf": [{"$ref": "#/$defs/tag"}, {"minLength": 4}]},
        "ok": {"type": ["boolean", "null"]},
        "pair": {"type": "array", "prefixItems": [{"const": 1}, {"type": "object"}], "minItems": 2, "maxItems": 2},
    },
    "required": ["name", "age", "debt", "kind", "tags", "more", "all", "ok", "pair"],
    "additionalProperties": False,
    "$defs": {"tag": {"type": "string"}},
}


def test_json_of_a_schema_is_said_as_it_is_and_else_made() -> None:
    made = keep("not JSON", json.dumps(PERSON))
    jsonschema.validate(json.loads(made), PERSON)
    assert json.loads(made)["name"] == "not JSON"
    assert keep(made.replace("not JSON", "Ada"), json.dumps(PERSON)) == made.replace("not JSON", "Ada")
    value = json.loads(made)
    for name, wrong in {"name": "Al", "age": 21, "debt": 0, "kind": 1, "tags": ["a"], "pair": [1], "other": 1}.items():
        worse = {**value, name: wrong}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(worse, PERSON)
        assert keep(json.dumps(worse), json.dumps(PERSON)) != json.dumps(worse)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 10**9},
        {"type": "array", "items": {"type": "string"}, "minItems": 10**9},
        {"$ref": "#"},
        {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]},
        {"type": "object", "required": 5},
    ],
)
def test_a_schema_costs_no_more_than_its_bound(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        keep("x", json.dumps(schema))


def test_grammars() -> None:
    choice = Grammar("choice", '["yes", "no"]')
    assert (told("no", grammar=choice), told("?", grammar=choice)) == ([("content", "no")], [("content", "yes")])
    assert told("?", grammar=Grammar("json", '{"type": "object"}')) == [("content", "{}")]
    assert told("ab", grammar=Grammar("regex", "a+")) == [("content", "ab")]
    assert answer(Completion("echo", ("?",), Sampling(1, grammar=choice))) == [Delta("yes")]


def test_tokens_stops_and_ends(tmp_path: Any) -> None:
    engine = load(ENGINES[0], tmp_path)
    chat = FineChat(
        "echo", (Message("user", f"<think>a b</think>{CALL}"),), Sampling(1), tools=(SEARCH,), thinking=True
    )
    events = run(engine, chat)
    assert [(part.text, len(part.tokens)) for part in deltas(events)] == [
        ("a", 1), (" b", 1), ("", 1), ('{"q":', 1), (' "a', 1), (' b"}', 1), ("", 0)
    ]  # fmt: skip
    reason, done = finish(events)
    assert (reason, done.usage.completion_tokens, done.usage.reasoning_tokens) == ("tool_calls", 6, 2)
    short = FineChat("echo", chat.messages, Sampling(1, max_tokens=1), tools=(SEARCH,), thinking=True)
    reason, done = finish(run(engine, short))
    assert (reason, done.usage.completion_tokens, done.usage.reasoning_tokens) == ("length", 1, 1)
    stop = FineChat(
        "echo", (Message("user", "<think>stop</think>go stop go"),), Sampling(1, stop=("stop",)), thinking=True
    )
    assert [part.text for part in deltas(run(engine, stop))] == ["stop", "go", " ", ""]
    assert not engine.continues(chat)
    assert engine.continues(stop)


@pytest.mark.parametrize("cut", range(5))
def test_thoughts_go_on_after_a_part(tmp_path: Any, cut: int) -> None:
    engine = load(ENGINES[0], tmp_path)
    task = FineChat("echo", (Message("user", "<think>a b</think>c d"),), Sampling(1), thinking=True)
    whole = run(engine, task)
    past = deltas(whole)[:cut]
    rest = run(engine, task, past)
    assert [*past, *deltas(rest)] == deltas(whole)
    assert finish(rest) == finish(whole)
