"""How a call and its result are written: the words on which the prompt, the grammar and the parser agree.

Hermes' form, which more models were trained on than on any other:

    <tool_call>
    {"name": "get_weather", "arguments": {"city": "Paris"}}
    </tool_call>

A custom tool takes a text, which stands as it is where others have arguments:

    <tool_call>
    {"name": "run"}
    print(1)
    </tool_call>
"""

from __future__ import annotations

import json

from shared.protocol import Tool, ToolCall

OPENER = "<tool_call>"
"""How every call begins. No content has it where calls may come."""
END = "}\n</tool_call>"
"""What follows the arguments of a call,"""
END_OF_TEXT = "\n</tool_call>"
"""and the text of one of a custom tool."""
BETWEEN = "\n"
"""Stands between two calls, and before the first one where the answer has content."""


def header(tool: Tool) -> str:
    """What of a call stands before its arguments."""
    return _header(tool.name, tool.custom)


def write_call(call: ToolCall) -> str:
    """As the model writes it, with the arguments as they are."""
    end = END_OF_TEXT if call.custom else END
    return f"{_header(call.name, call.custom)}{call.arguments or ('' if call.custom else '{}')}{end}"


def write_result(text: str) -> str:
    """What a tool has answered."""
    return f"<tool_response>\n{text}\n</tool_response>"


def _header(name: str, custom: bool) -> str:
    named = f'{OPENER}\n{{"name": {json.dumps(name)}'
    return f"{named}}}\n" if custom else f'{named}, "arguments": '
