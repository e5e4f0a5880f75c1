"""What requests for responses say of tools: as chats do, but without an object around each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import post_load, validates_schema

from gateway.schemas.objects import Object, Strict, Variant
from gateway.schemas.parameters import Array, Boolean, Ignored, Only, Word
from gateway.schemas.tool_choice import MOST_TOOLS, NamedTool, ToolChoice, Wish
from gateway.schemas.tools import AnyText, Custom, Function, GrammarText, check_offer
from shared.protocol import Grammar, Tool

_CHOOSE = ("tool_choice", "parallel_tool_calls")
"""What chooses among tools: without any it asks for nothing."""


class Offered(Strict):
    """What is said of all tools."""

    allowed_callers = Only(["direct"], hint="no code is run here that could call it")
    defer_loading = Ignored(Boolean())  # it is there from the beginning
    cache_control = Ignored(Object())


class FlatFunction(Function, Offered):
    output_schema = Ignored(Object())  # of what its results are: they are read as they come

    @post_load
    def tool(self, data: dict[str, Any], **kwargs: Any) -> Tool:
        return Tool(data["name"], data["description"], data["parameters"], data["strict"])


class FlatGrammar(GrammarText):
    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Grammar:
        return Grammar(data["syntax"], data["definition"], param="tools")


class FlatCustom(Custom, Offered):
    format = Variant({"text": AnyText(), "grammar": FlatGrammar()}, load_default=None)


class FlatNamed(NamedTool):
    custom: ClassVar[bool] = False

    @post_load
    def wish(self, data: dict[str, Any], **kwargs: Any) -> Wish:
        return Wish("required", ((self.custom, data["name"]),), once=True)


class FlatNamedCustom(FlatNamed):
    custom = True


_NAMED = {"function": FlatNamed(), "custom": FlatNamedCustom()}


class FlatAllowed(Strict):
    mode = Word("auto", "required", required=True)
    tools = Array(Variant(_NAMED), 1, MOST_TOOLS, required=True)

    @post_load
    def wish(self, data: dict[str, Any], **kwargs: Any) -> Wish:
        return Wish(data["mode"], tuple(one for wish in data["tools"] for one in wish.allowed))


class FlatChoice(ToolChoice):
    _named = Variant({**_NAMED, "allowed_tools": FlatAllowed()}, hint="every tool is run by the client")


_KINDS: dict[str, Strict] = {"function": FlatFunction(), "custom": FlatCustom()}


class FlatToolsSchema(Strict):
    tools = Array(Variant(_KINDS, hint="every tool is run by the client"), 0, MOST_TOOLS)
    tool_choice = FlatChoice()
    parallel_tool_calls = Boolean()

    @validates_schema
    def offers(self, data: dict[str, Any], **kwargs: Any) -> None:
        """They have different names and are not too large, and those that are named are there."""
        check_offer(data.get("tools", ()), "tools")
        if data.get("tools"):
            data.get("tool_choice", Wish()).check(data["tools"], "tool_choice")

    def ignored(self, data: Mapping[str, Any]) -> list[str]:
        tools: list[dict[str, Any]] = data.get("tools") or []
        kinds = [(tool, _KINDS[tool.get("type") or "function"]) for tool in tools]
        within = [f"tools[].{name}" for tool, kind in kinds for name in kind.ignored(tool)]
        vain = [] if tools else [name for name in _CHOOSE if data.get(name) is not None]
        return [*super().ignored(data), *dict.fromkeys(within), *vain]
