"""What Anthropic's requests say of tools: the client's own, and those whose form Anthropic has laid down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import post_load, validates_schema

from gateway.schemas.objects import MOST_PAIRS, Object, Strict, Variant
from gateway.schemas.parameters import INT32_MAX, Array, Boolean, Ignored, Integer, Only, Prose, Text, Word
from gateway.schemas.tool_choice import MOST_TOOLS, Wish
from gateway.schemas.tools import Parameters, ToolName, check_offer
from shared.protocol import Tool

LONGEST_TOOL_NAME = 128
"""Characters, as Anthropic has it: those of MCP servers' tools begin with the servers' own."""


class ClientTool(Strict):
    """What is said of all tools."""

    strict = Boolean(load_default=False)
    allowed_callers = Only(["direct"], hint="no code is run here that could call it")

    cache_control = Ignored(Object())
    defer_loading = Ignored(Boolean())  # it is there from the beginning
    eager_input_streaming = Ignored(Boolean())
    input_examples = Ignored(Array(Object(), 0, MOST_PAIRS))


class OwnTool(ClientTool):
    name = ToolName(LONGEST_TOOL_NAME, required=True)
    description = Prose(load_default="")
    input_schema = Parameters(required=True)

    @post_load
    def tool(self, data: dict[str, Any], **kwargs: Any) -> Tool:
        return Tool(data["name"], data["description"], data["input_schema"], data["strict"])


class KnownTool(ClientTool):
    """One whose form Anthropic's models know by its type. Here the model is told it as of any other."""

    does: ClassVar[str]
    takes: ClassVar[str]
    """The JSON Schema of its arguments."""

    @post_load
    def tool(self, data: dict[str, Any], **kwargs: Any) -> Tool:
        return Tool(data["name"], self.does, self.takes, data["strict"])


_STRING, _INTEGER = {"type": "string"}, {"type": "integer"}
_FILES = {
    "path": _STRING,
    "view_range": {"type": "array", "items": _INTEGER, "description": "of view: the first and the last line"},
    "file_text": {**_STRING, "description": "of create: the content of the file"},
    "old_str": {**_STRING, "description": "of str_replace: a text that stands in the file once"},
    "new_str": {**_STRING, "description": "of str_replace: what stands there instead"},
    "insert_line": {**_INTEGER, "description": "of insert: the line after which the text comes; 0: at the beginning"},
}


def _takes(*required: str, **properties: Any) -> str:
    return json.dumps({"type": "object", "properties": properties, "required": required})


def _text_of(command: str) -> dict[str, Any]:
    return {**_STRING, "description": f"of {command}"}


class BashTool(KnownTool):
    name = Word("bash", required=True)
    does = "Runs a command in a shell that lives on from call to call."
    takes = _takes(
        command=_STRING,
        restart={"type": "boolean", "description": "begin with a new shell, instead of a command"},
    )


class EditorTool(KnownTool):
    name = Word("str_replace_based_edit_tool", required=True)
    max_characters = Ignored(Integer(1, INT32_MAX))  # its client cuts what it shows
    does = "Views, creates and edits text files."
    takes = _takes(
        "command",
        "path",
        command={"enum": ["view", "create", "str_replace", "insert"]},
        **_FILES,
        insert_text=_text_of("insert"),
    )


class OlderEditorTool(KnownTool):
    name = Word("str_replace_editor", required=True)
    does = EditorTool.does
    takes = _takes(
        "command",
        "path",
        command={"enum": ["view", "create", "str_replace", "insert", "undo_edit"]},
        **{**_FILES, "new_str": {**_STRING, "description": "of str_replace: what stands there instead; of insert"}},
    )


class MemoryTool(KnownTool):
    name = Word("memory", required=True)
    does = "Keeps what is to be remembered in text files below /memories, which are to be viewed first."
    takes = _takes(
        "command",
        command={"enum": ["view", "create", "str_replace", "insert", "delete", "rename"]},
        **_FILES,
        insert_text=_text_of("insert"),
        old_path=_text_of("rename"),
        new_path=_text_of("rename"),
    )


class ChoiceObject(Strict):
    """Without a name."""

    mode: ClassVar[str]
    disable_parallel_tool_use = Boolean(load_default=False)

    @post_load
    def wish(self, data: dict[str, Any], **kwargs: Any) -> Wish:
        return Wish(self.mode, once=data["disable_parallel_tool_use"])


class AutoChoice(ChoiceObject):
    mode = "auto"


class AnyChoice(ChoiceObject):
    mode = "required"


class NoChoice(ChoiceObject):
    mode = "none"


class NamedChoice(ChoiceObject):
    name = Text(empty=False, required=True)

    @post_load
    def wish(self, data: dict[str, Any], **kwargs: Any) -> Wish:
        return Wish("required", ((False, data["name"]),), once=True)


_KINDS = {
    "custom": OwnTool(),
    **dict.fromkeys(("bash_20250124", "bash_20241022"), BashTool()),
    **dict.fromkeys(("text_editor_20250728", "text_editor_20250429"), EditorTool()),
    **dict.fromkeys(("text_editor_20250124", "text_editor_20241022"), OlderEditorTool()),
    "memory_20250818": MemoryTool(),
}


class ClientToolsSchema(Strict):
    tools = Array(Variant(_KINDS, hint="every tool is run by the client"), 0, MOST_TOOLS)
    tool_choice = Variant({"auto": AutoChoice(), "any": AnyChoice(), "tool": NamedChoice(), "none": NoChoice()})

    @validates_schema
    def offers(self, data: dict[str, Any], **kwargs: Any) -> None:
        """They have different names and are not too large, and one that is named is there."""
        check_offer(data.get("tools", ()), "tools")
        if data.get("tools"):
            data.get("tool_choice", Wish()).check(data["tools"], "tool_choice")

    def ignored(self, data: Mapping[str, Any]) -> list[str]:
        tools: list[dict[str, Any]] = data.get("tools") or []
        vain = [] if tools or data.get("tool_choice") is None else ["tool_choice"]
        kinds = [(tool, _KINDS[tool.get("type") or "custom"]) for tool in tools]
        within = [f"tools[].{name}" for tool, kind in kinds for name in kind.ignored(tool)]
        return [*super().ignored(data), *dict.fromkeys(within), *vain]
