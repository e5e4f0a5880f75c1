"""What requests say of tools."""

from __future__ import annotations

from typing import Any

from gateway.schemas.message import NO_TOOLS
from gateway.schemas.objects import Object, Strict
from gateway.schemas.parameters import Boolean, Ignored, Only, Text


class ToolsSchema(Strict):
    tools = Only([], hint=NO_TOOLS)
    functions = Only([], hint=NO_TOOLS)

    # Without tools they ask for nothing.
    tool_choice = Ignored(Text(), Object())
    parallel_tool_calls = Ignored(Boolean())
    function_call = Ignored(Text(), Object())


def tools(given: dict[str, Any]) -> dict[str, Any]:
    """What `read` returned, as fields of `FineChat`."""
    return {}
