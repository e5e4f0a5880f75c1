"""What requests say of tools."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from marshmallow import ValidationError, fields, post_load, validates_schema

from gateway.schemas.json_schema import NO_ITEMS
from gateway.schemas.objects import Member, Object, Strict, Variant, keyed
from gateway.schemas.parameters import Array, Boolean, Ignored, Prose, Word, text
from gateway.schemas.problem import refuse, show
from gateway.schemas.structured import Source, write_schema
from gateway.schemas.tool_choice import MOST_TOOLS, FunctionCallChoice, ToolChoice, Wish
from shared.protocol import Grammar, Tool

LONGEST_TOOL_NAME = 64
"""Characters, as OpenAI has it."""
LARGEST_TOOLS = 524_288
"""Bytes of all tools of a request."""

_NAME = re.compile(r"[a-zA-Z0-9_-]+")
_CHOOSE = ("tool_choice", "parallel_tool_calls", "function_call")
"""What chooses among tools: without any it asks for nothing."""


class ToolName(fields.Field[str]):
    def __init__(self, longest: int = LONGEST_TOOL_NAME, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.longest = longest

    @property
    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_NAME.pattern}$", "maxLength": self.longest}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        name = text(value)
        if len(name) > self.longest:
            problem = f"at most {self.longest} characters, but it has {len(name)}"
            raise refuse("string_above_max_length", problem)
        if not _NAME.fullmatch(name):
            raise refuse("invalid_value", f"{show(name)} may have letters, digits, _ and - only, and has to have one")
        return name


class Parameters(fields.Field[str]):
    """A JSON Schema, of an object. As JSON, which says that it is one; empty where it says nothing."""

    json_schema: ClassVar = {
        "anyOf": [
            {"type": "object", "maxProperties": 0},
            NO_ITEMS,
            {"type": "object", "required": ["type"], "properties": {"type": {"const": "object"}}},
        ]
    }

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> str:
        schema = keyed(value)
        if not schema:
            return ""
        kind = schema.get("type", "object")
        if kind != "object" and not (isinstance(kind, list) and "object" in kind):
            raise refuse("invalid_value", 'arguments are an object: it has to be "object"', name="type")
        if schema.get("properties") == []:  # as PHP writes an empty object
            schema = {**schema, "properties": {}}
        return write_schema({**schema, "type": "object"})


class Function(Strict):
    name = ToolName(required=True)
    description = Prose(load_default="")
    parameters = Parameters(load_default="")
    strict = Boolean(load_default=False)

    @post_load
    def tool(self, data: dict[str, Any], **kwargs: Any) -> Tool:
        return Tool(**data)


class AnyText(Strict):
    @post_load
    def grammar(self, data: dict[str, Any], **kwargs: Any) -> None:
        return None


class GrammarText(Strict):
    syntax = Word("lark", "regex", required=True)
    definition = Source(required=True)


class TextOfGrammar(Strict):
    grammar = Member(GrammarText, required=True)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Grammar:
        return Grammar(data["grammar"]["syntax"], data["grammar"]["definition"], param="tools")


class Custom(Strict):
    name = ToolName(required=True)
    description = Prose(load_default="")
    format = Variant({"text": AnyText(), "grammar": TextOfGrammar()}, load_default=None)

    @post_load
    def tool(self, data: dict[str, Any], **kwargs: Any) -> Tool:
        return Tool(data["name"], data["description"], custom=True, grammar=data["format"])


class FunctionTool(Strict):
    function = Member(Function, required=True)
    cache_control = Ignored(Object())

    @post_load
    def tool(self, data: dict[str, Any], **kwargs: Any) -> Tool:
        found: Tool = data["function"]
        return found


class CustomTool(Strict):
    custom = Member(Custom, required=True)
    cache_control = Ignored(Object())

    @post_load
    def tool(self, data: dict[str, Any], **kwargs: Any) -> Tool:
        found: Tool = data["custom"]
        return found


class ToolsSchema(Strict):
    tools = Array(
        Variant({"function": FunctionTool(), "custom": CustomTool()}, hint="every tool is run by the client"),
        0,
        MOST_TOOLS,
    )
    tool_choice = ToolChoice()
    parallel_tool_calls = Boolean()

    # The same before there were tools.
    functions = Array(fields.Nested(Function), 0, MOST_TOOLS)
    function_call = FunctionCallChoice()

    @validates_schema
    def offers(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Tools in one of the two ways, of different names, and not too large; those that are named are there."""
        for name, other in (("functions", "tools"), ("function_call", "tools"), ("tool_choice", "functions")):
            if data.get(name) and data.get(other):
                raise refuse("invalid_value", f"not together with '{other}'", name=name)
        for param in ("tools", "functions"):
            check_offer(data.get(param, ()), param)
        for param in ("tool_choice", "function_call"):
            if offered := _offered(data):
                data.get(param, Wish()).check(offered, param)

    def ignored(self, data: Mapping[str, Any]) -> list[str]:
        tools = data.get("tools") or ()
        found = ["tools[].cache_control"] if any(tool.get("cache_control") for tool in tools) else []
        used = ("tool_choice", "parallel_tool_calls") if tools else ("function_call",) if data.get("functions") else ()
        return [*super().ignored(data), *found, *(n for n in _CHOOSE if data.get(n) is not None and n not in used)]


def check_offer(tools: Sequence[Tool], param: str) -> None:
    """Raises ValidationError where two have one name, or they are too large."""
    names: set[str] = set()
    for index, tool in enumerate(tools):
        if tool.name in names:
            raise ValidationError(
                {param: {index: refuse("invalid_value", f"there are two of {show(tool.name)}").messages}}
            )
        names.add(tool.name)
    if (size := sum(map(size_of, tools))) > LARGEST_TOOLS:
        raise refuse("invalid_value", f"at most {LARGEST_TOOLS} bytes in all, but they have {size}", name=param)


def size_of(tool: Tool) -> int:
    """Bytes of all that it says."""
    source = tool.grammar.source if tool.grammar else ""
    return sum(len(part.encode()) for part in (tool.name, tool.description, tool.parameters, source))


def _offered(given: dict[str, Any]) -> list[Tool]:
    return [*given.get("tools", ()), *given.get("functions", ())]


def tools(given: dict[str, Any]) -> dict[str, Any]:
    """What `read` returned, as fields of `FineChat`."""
    wish = given.get("function_call" if given.get("functions") else "tool_choice", Wish())
    chosen = wish.choose(_offered(given))
    if not chosen:
        return {}
    several = given.get("parallel_tool_calls", True) and not (given.get("functions") or wish.once)
    return {"tools": chosen, "must_call": wish.mode == "required", "parallel_calls": several}
