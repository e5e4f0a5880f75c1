"""What `bench/first_questions.py` asks for that has a form, in which the same comes again and again and has to."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from functools import partial
from typing import Any

SENTENCE = "The old man and the young man walked to the market, and the old man bought the young man a red apple."
_WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
_TOOLS = [
    {
        "type": "function",
        "function": {"name": "get_weather", "description": "The weather in a city", "parameters": _WEATHER},
    }
]
_FRUIT = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "color": {"type": "string"}},
    "required": ["name", "color"],
    "additionalProperties": False,
}
_LIST = {"type": "array", "items": _FRUIT, "minItems": 4, "maxItems": 4}
_SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "fruits",
        "schema": {
            "type": "object",
            "properties": {"fruits": _LIST},
            "required": ["fruits"],
            "additionalProperties": False,
        },
    },
}


def _unfenced(choice: Any) -> str:
    text = str(choice.message.content)
    fenced = re.search(r"```\w*\n(.*?)```", text, re.DOTALL)
    return fenced[1] if fenced else text


def _defines(name: str, choice: Any) -> bool:
    """Whether it is Python that has such a function."""
    try:
        parsed = ast.parse(_unfenced(choice))
    except SyntaxError:
        return False
    return any(isinstance(node, ast.FunctionDef) and node.name == name for node in ast.walk(parsed))


def _is_json(choice: Any) -> bool:
    try:
        json.loads(_unfenced(choice))
    except ValueError:
        return False
    return True


def _has_fruits(choice: Any) -> bool:
    """Whether it has ended, with four fruits that have different names."""
    return _is_json(choice) and len({fruit["name"] for fruit in json.loads(choice.message.content)["fruits"]}) == 4


def _asks_for(city: str, choice: Any) -> bool:
    return any(city in call.function.arguments for call in choice.message.tool_calls or ())


def _counts(choice: Any) -> bool:
    """Whether it has the numbers from 1 to 20, in their order."""
    found = [int(number) for number in re.findall(r"\d+", str(choice.message.content))]
    return any(found[at : at + 20] == list(range(1, 21)) for at in range(len(found)))


def _repeats(choice: Any) -> bool:
    return SENTENCE in str(choice.message.content)


FORMS: tuple[tuple[str, Callable[[Any], bool], dict[str, Any]], ...] = (
    ("Write a Python function add(a, b) that returns the sum.", partial(_defines, "add"), {}),
    ("Write a Python function is_even(n).", partial(_defines, "is_even"), {}),
    ("Write the JSON of three people with name and age.", _is_json, {}),
    ("Name four fruits with their colors, as JSON.", _has_fruits, {"response_format": _SCHEMA}),
    ("What is the weather in Paris?", partial(_asks_for, "Paris"), {"tools": _TOOLS}),
    ("What is the weather in Berlin?", partial(_asks_for, "Berlin"), {"tools": _TOOLS, "tool_choice": "required"}),
    ("Count from 1 to 20, one number a line.", _counts, {}),
    (f"Repeat this sentence word for word: {SENTENCE}", _repeats, {}),
)
"""A question, whether the choice that came has the form, and what the request says beside it."""
