"""Which of its tools an answer may call, and whether it has to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from marshmallow import fields, post_load

from gateway.schemas.objects import Member, Strict, Variant
from gateway.schemas.parameters import Array, Text, Word
from gateway.schemas.problem import refuse, show
from shared.protocol import Tool

MOST_TOOLS = 128
"""Tools of a request, and of those that it allows."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request wants to be called."""

    mode: str = "auto"
    """`none`, `auto`, or `required`."""
    allowed: tuple[tuple[bool, str], ...] | None = None
    """(custom, name) of the only tools that may be; None: all of them."""
    once: bool = False
    """It names one tool, which is called once: clients that ask so read one call."""

    def choose(self, tools: Sequence[Tool]) -> tuple[Tool, ...]:
        """Those that may be called."""
        if self.mode == "none":
            return ()
        return tuple(tool for tool in tools if self.allowed is None or (tool.custom, tool.name) in self.allowed)

    def check(self, tools: Sequence[Tool], param: str) -> None:
        """Raises ValidationError where it names a tool that is not there."""
        there = {(tool.custom, tool.name) for tool in tools}
        for custom, name in self.allowed or ():
            if (custom, name) not in there:
                kind = "custom tools" if custom else "functions"
                raise refuse("invalid_value", f"{show(name)} is none of the request's {kind}", name=param)


class NamedTool(Strict):
    name = Text(empty=False, required=True)


class FunctionChoice(Strict):
    function = Member(NamedTool, required=True)

    @post_load
    def wish(self, data: dict[str, Any], **kwargs: Any) -> Wish:
        return Wish("required", ((False, data["function"]["name"]),), once=True)


class CustomChoice(Strict):
    custom = Member(NamedTool, required=True)

    @post_load
    def wish(self, data: dict[str, Any], **kwargs: Any) -> Wish:
        return Wish("required", ((True, data["custom"]["name"]),), once=True)


class AllowedTools(Strict):
    mode = Word("auto", "required", required=True)
    tools = Array(Variant({"function": FunctionChoice(), "custom": CustomChoice()}), 1, MOST_TOOLS, required=True)


class AllowedChoice(Strict):
    allowed_tools = Member(AllowedTools, required=True)

    @post_load
    def wish(self, data: dict[str, Any], **kwargs: Any) -> Wish:
        given = data["allowed_tools"]
        return Wish(given["mode"], tuple(one for wish in given["tools"] for one in wish.allowed))


class ToolChoice(fields.Field[Wish]):
    """A word, or an object that names what may be called."""

    _word = Word("none", "auto", "required")
    _named = Variant({"function": FunctionChoice(), "custom": CustomChoice(), "allowed_tools": AllowedChoice()})

    @property
    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [self._word.json_schema, self._named.json_schema]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> Wish:
        return self._named._deserialize(value) if isinstance(value, dict) else Wish(self._word._deserialize(value))


class FunctionCallChoice(fields.Field[Wish]):
    """The same as it was before there were tools."""

    _word = Word("none", "auto")
    _named = NamedTool()

    @property
    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [self._word.json_schema, self._named.described]}

    def _deserialize(self, value: object, *args: Any, **kwargs: Any) -> Wish:
        if isinstance(value, dict):
            return Wish("required", ((False, self._named.load(value)["name"]),), once=True)
        return Wish(self._word._deserialize(value))
