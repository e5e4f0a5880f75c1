"""What requests say of the tools that may be called."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai import pydantic_function_tool
from pydantic import BaseModel, Field

from gateway.schemas import structured, tools
from shared.protocol import Chat, FineChat, Grammar, Tool
from tests.parsing import CHAT, USER, chat, refused_chat

EMPTY = {"type": "object", "properties": {}}


def function(name: str = "f", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def custom(name: str = "c", **more: Any) -> dict[str, Any]:
    return {"type": "custom", "custom": {"name": name, **more}}


def offered(*given: Any, **more: Any) -> tuple[Tool, ...]:
    task, _ = chat(tools=list(given), **more)
    assert isinstance(task, FineChat)
    return task.tools


# --- what is offered


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (function(), Tool("f")),
        ({"function": {"name": "f"}}, Tool("f")),
        (function(description="", parameters=None, strict=None), Tool("f")),
        (function(description="does", strict=True, parameters={}), Tool("f", "does", strict=True)),
        (function(parameters=[]), Tool("f")),
        (function(parameters={"properties": []}), Tool("f", parameters='{"properties":{},"type":"object"}')),
        (function(parameters={"type": ["null", "object"]}), Tool("f", parameters='{"type":"object"}')),
        (function(parameters=EMPTY), Tool("f", parameters='{"type":"object","properties":{}}')),
        (function("a-B_9" * 10), Tool("a-B_9" * 10)),
        ({**function(), "cache_control": {"type": "ephemeral"}}, Tool("f")),
        (custom(), Tool("c", custom=True)),
        (custom(description="does", format={"type": "text"}), Tool("c", "does", custom=True)),
        (
            custom(format={"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}}),
            Tool("c", custom=True, grammar=Grammar("regex", "a+", param="tools")),
        ),
        (
            custom(format={"type": "grammar", "grammar": {"syntax": "lark", "definition": 'start: "a"'}}),
            Tool("c", custom=True, grammar=Grammar("lark", 'start: "a"', param="tools")),
        ),
    ],
)
def test_tools(given: dict[str, Any], expected: Tool) -> None:
    assert offered(given) == (expected,)


def test_a_schema_is_kept_as_it_came() -> None:
    schema = {"$defs": {"é": {"enum": ["\u2028", 1.5]}}, "type": "object", "x": [{"": None}], "required": ["b", "a"]}
    [tool] = offered(function(parameters=schema))
    assert json.loads(tool.parameters) == schema
    assert list(json.loads(tool.parameters)) == list(schema)


class Weather(BaseModel):
    """Tells the weather."""

    city: str
    days: int = Field(ge=1, le=7)


def test_what_openais_client_makes_of_a_model() -> None:
    made: Any = pydantic_function_tool(Weather)
    [tool] = offered(made)
    assert (tool.name, tool.description, tool.strict) == ("Weather", "Tells the weather.", True)
    assert json.loads(tool.parameters) == made["function"]["parameters"]


def nested(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels - 1):
        found = {"items": found}
    return found


BOTH = [function(), custom()]


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"type": "web_search"}, "tools[0].type", "unsupported_value"),
        ({"type": 1}, "tools[0].type", "invalid_type"),
        ("f", "tools[0]", "invalid_type"),
        ({"type": "function"}, "tools[0].function", "missing_required_parameter"),
        ({"type": "function", "name": "f"}, "tools[0].name", "unknown_parameter"),
        ({"type": "custom", "function": {"name": "f"}}, "tools[0].function", "unknown_parameter"),
        ({**function(), "x": 1}, "tools[0].x", "unknown_parameter"),
        (function(x=1), "tools[0].function.x", "unknown_parameter"),
        ({"function": {}}, "tools[0].function.name", "missing_required_parameter"),
        (function("a.b"), "tools[0].function.name", "invalid_value"),
        (function("f\n"), "tools[0].function.name", "invalid_value"),
        (function(""), "tools[0].function.name", "invalid_value"),
        (function("f" * 65), "tools[0].function.name", "string_above_max_length"),
        (function(strict="yes"), "tools[0].function.strict", "invalid_type"),
        (function(description=1), "tools[0].function.description", "invalid_type"),
        (function(description="\ud800"), "tools[0].function.description", "invalid_value"),
        (function(parameters=True), "tools[0].function.parameters", "invalid_type"),
        (function(parameters="{}"), "tools[0].function.parameters", "invalid_type"),
        (function(parameters={"type": "array"}), "tools[0].function.parameters.type", "invalid_value"),
        (function(parameters={"type": ["string"]}), "tools[0].function.parameters.type", "invalid_value"),
        (function(parameters={"\ud800": 1}), "tools[0].function.parameters", "invalid_value"),
        (function(parameters=nested(structured.MOST_LEVELS + 1)), "tools[0].function.parameters", "invalid_value"),
        (function(parameters=nested(100_000)), "tools[0].function.parameters", "invalid_value"),
        (
            function(parameters={"x": "é" * (structured.LARGEST_GRAMMAR // 2)}),
            "tools[0].function.parameters",
            "string_above_max_length",
        ),
        (custom(strict=True), "tools[0].custom.strict", "unknown_parameter"),
        (custom(format={"type": "json"}), "tools[0].custom.format.type", "unsupported_value"),
        (custom(format={"type": "grammar"}), "tools[0].custom.format.grammar", "missing_required_parameter"),
        (
            custom(format={"type": "grammar", "grammar": {"syntax": "gbnf", "definition": ""}}),
            "tools[0].custom.format.grammar.syntax",
            "unsupported_value",
        ),
        (
            custom(format={"type": "grammar", "grammar": {"syntax": "lark", "definition": "x" * 200_000}}),
            "tools[0].custom.format.grammar.definition",
            "string_above_max_length",
        ),
    ],
)
def test_bad_tools(given: object, param: str, code: str) -> None:
    assert refused_chat(tools=[given]) == (param, code)


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"tools": function()}, "tools", "invalid_type"),
        ({"tools": [function(str(n)) for n in range(129)]}, "tools", "array_above_max_length"),
        ({"tools": [function("a"), custom("b"), custom("a")]}, "tools[2]", "invalid_value"),
        ({"tools": [function(str(n), description="x" * 110_000) for n in range(5)]}, "tools", "invalid_value"),
        ({"functions": [{"name": "f"}, {"name": "f"}]}, "functions[1]", "invalid_value"),
        ({"functions": [function()]}, "functions[0].type", "unknown_parameter"),
        ({"functions": [{"name": "f"}], "tools": BOTH}, "functions", "invalid_value"),
        ({"function_call": "auto", "tools": BOTH}, "function_call", "invalid_value"),
        ({"functions": [{"name": "f"}], "tool_choice": "auto"}, "tool_choice", "invalid_value"),
        ({"tools": BOTH, "tool_choice": "any"}, "tool_choice", "unsupported_value"),
        ({"tools": BOTH, "tool_choice": ["f"]}, "tool_choice", "invalid_type"),
        ({"tools": BOTH, "tool_choice": {"type": "tool"}}, "tool_choice.type", "unsupported_value"),
        ({"tools": BOTH, "tool_choice": {"function": {}}}, "tool_choice.function.name", "missing_required_parameter"),
        ({"tools": BOTH, "tool_choice": function("c")}, "tool_choice", "invalid_value"),
        ({"tools": BOTH, "tool_choice": custom("f")}, "tool_choice", "invalid_value"),
        ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "function_call", "invalid_value"),
        ({"functions": [{"name": "f"}], "function_call": "required"}, "function_call", "unsupported_value"),
        ({"tools": BOTH, "parallel_tool_calls": 1}, "parallel_tool_calls", "invalid_type"),
        ({"tools": BOTH, "return_token_ids": True}, "return_token_ids", "unsupported_value"),
        ({"tools": BOTH, "best_of": 2}, "best_of", "unsupported_value"),
        ({"tools": BOTH, "logprobs": True, "stream": True}, "logprobs", "unsupported_value"),
        ({"tools": BOTH, "n_probs": 2, "stream": True}, "n_probs", "unsupported_value"),
        (
            {
                "tools": BOTH,
                "messages": [USER, {"role": "assistant", "content": "So"}],
                "continue_final_message": True,
                "add_generation_prompt": False,
            },
            "continue_final_message",
            "unsupported_value",
        ),
    ],
)
def test_what_does_not_go_together(given: dict[str, Any], param: str, code: str) -> None:
    assert refused_chat(**given) == (param, code)


# --- which of them may be called


def allowed(mode: str, *names: dict[str, Any]) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": list(names)}}


F, C = Tool("f"), Tool("c", custom=True)


@pytest.mark.parametrize(
    ("choice", "expected", "must"),
    [
        (None, (F, C), False),
        ("auto", (F, C), False),
        ("required", (F, C), True),
        (function("f"), (F,), True),
        (custom("c"), (C,), True),
        ({"function": {"name": "f"}}, (F,), True),
        (allowed("auto", custom("c")), (C,), False),
        (allowed("required", custom("c"), function("f")), (F, C), True),
        (allowed("auto", function("f"), function("f")), (F,), False),
    ],
)
def test_a_choice(choice: object, expected: tuple[Tool, ...], must: bool) -> None:
    task, options = chat(tools=BOTH, tool_choice=choice)
    once = isinstance(choice, dict) and "allowed_tools" not in choice
    assert (task.tools, task.must_call, task.parallel_calls) == (expected, must, not once)
    assert not options.legacy_functions
    assert CHAT.schema.ignored({"tools": BOTH, "tool_choice": choice}) == []


@pytest.mark.parametrize(
    ("choice", "param", "code"),
    [
        (allowed("none", function("f")), "tool_choice.allowed_tools.mode", "unsupported_value"),
        (allowed("auto"), "tool_choice.allowed_tools.tools", "empty_array"),
        (allowed("auto", function("g")), "tool_choice", "invalid_value"),
        (allowed("auto", {"type": "mcp"}), "tool_choice.allowed_tools.tools[0].type", "unsupported_value"),
        ({"type": "allowed_tools"}, "tool_choice.allowed_tools", "missing_required_parameter"),
    ],
)
def test_a_bad_choice_of_several(choice: object, param: str, code: str) -> None:
    assert refused_chat(tools=BOTH, tool_choice=choice) == (param, code)


def test_without_any_to_call_it_is_a_plain_chat() -> None:
    plain = chat()
    assert type(plain[0]) is Chat
    asked: list[dict[str, Any]] = [{"tools": []}, {"functions": []}, {"tools": BOTH, "tool_choice": "none"}]
    for more in asked:
        assert chat(**more) == plain
    assert chat(functions=[{"name": "f"}], function_call="none")[0] == plain[0]


def test_one_call_at_most() -> None:
    assert chat(tools=BOTH, parallel_tool_calls=False)[0].parallel_calls is False
    assert chat(tools=BOTH, parallel_tool_calls=True, n=3)[0].parallel_calls is True


@pytest.mark.parametrize(("choice", "must"), [(None, False), ("auto", False), ({"name": "f"}, True)])
def test_functions(choice: object, must: bool) -> None:
    functions = [{"name": "f", "description": "does", "parameters": EMPTY}, {"name": "g"}]
    task, options = chat(functions=functions, function_call=choice)
    assert [tool.name for tool in task.tools] == (["f"] if must else ["f", "g"])
    assert task.tools[0] == Tool("f", "does", '{"type":"object","properties":{}}')
    assert (task.must_call, task.parallel_calls, options.legacy_functions) == (must, False, True)


def test_what_asks_for_nothing_is_told() -> None:
    ignored = CHAT.schema.ignored
    both = {"parallel_tool_calls": True, "function_call": "auto"}
    assert ignored({"tools": BOTH, "tool_choice": "auto", "parallel_tool_calls": False}) == []
    assert ignored({"functions": [{"name": "f"}], **both}) == ["parallel_tool_calls"]
    assert ignored({"tools": [], "tool_choice": "required", **both}) == ["tool_choice", *both]
    assert ignored({"tools": [function(), {**function("g"), "cache_control": {}}]}) == []
    cached = {**function(), "cache_control": {"type": "ephemeral"}}
    assert ignored({"tools": [cached, cached]}) == ["tools[].cache_control"]


def test_bounds_are_read_when_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "LARGEST_TOOLS", 10)
    assert refused_chat(tools=[function(description="x" * 10)]) == ("tools", "invalid_value")
