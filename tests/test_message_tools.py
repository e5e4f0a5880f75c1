"""What Anthropic's requests say of tools; what its client makes of conversations; and whatever else may be sent."""

from __future__ import annotations

import json
from contextlib import suppress
from itertools import pairwise
from typing import Any

import anthropic
import pytest
from anthropic.types import Message as Answer
from anthropic.types import ToolUseBlock
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from gateway.schemas.tool_choice import MOST_TOOLS
from shared.errors import InvalidRequest
from shared.protocol import FineMessage, Message, Tool, ToolCall
from tests.messages import MESSAGES, SCHEMA, F, body, error, read, result, text, turns, use, user
from tests.parsing import DEFAULTS, USER

JSON = json.dumps(SCHEMA, separators=(",", ":"))


@pytest.mark.parametrize(
    ("tool", "expected"),
    [
        (F, Tool("f", parameters=JSON)),
        ({**F, "type": "custom", "description": "does", "strict": True}, Tool("f", "does", JSON, strict=True)),
        ({**F, "type": None, "cache_control": {"type": "ephemeral"}}, Tool("f", parameters=JSON)),
        ({"name": "m" * 128, "input_schema": {"type": "object"}}, Tool("m" * 128, parameters='{"type":"object"}')),
        ({"name": "f", "input_schema": {}}, Tool("f")),
        ({**F, "input_examples": [{"city": "Ulm"}], "defer_loading": True, "eager_input_streaming": True,
          "allowed_callers": ["direct"]}, Tool("f", parameters=JSON)),
    ],
)  # fmt: skip
def test_tools(tool: dict[str, Any], expected: Tool) -> None:
    assert read(tools=[tool])[0].tools == (expected,)


@pytest.mark.parametrize(
    ("kind", "name", "parameters"),
    [
        ("bash_20250124", "bash", {"command", "restart"}),
        ("text_editor_20250728", "str_replace_based_edit_tool", {"command", "path", "old_str", "insert_text"}),
        ("text_editor_20250124", "str_replace_editor", {"command", "path", "old_str", "new_str"}),
        ("memory_20250818", "memory", {"command", "path", "old_path", "new_path"}),
    ],
)
def test_tools_that_anthropic_has_laid_down_are_told_as_others(kind: str, name: str, parameters: set[str]) -> None:
    [tool] = read(tools=[{"type": kind, "name": name}])[0].tools
    assert tool.name == name
    assert tool.description
    assert parameters <= json.loads(tool.parameters)["properties"].keys()
    assert error(tools=[{"type": kind, "name": "other"}]) == ("tools[0].name", "unsupported_value")


def test_what_of_a_tool_asks_for_nothing_is_told() -> None:
    marked = {**F, "cache_control": {"type": "ephemeral"}, "defer_loading": False}
    editor = {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool", "max_characters": 10_000}
    ignored = MESSAGES.schema.ignored(body(tools=[F, marked, editor, {**marked, "name": "g"}]))
    assert ignored == ["tools[].cache_control", "tools[].defer_loading", "tools[].max_characters"]
    assert MESSAGES.schema.ignored(body(tools=[F], tool_choice={"type": "auto"})) == []


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ("fg", False, True)),
        ({"type": "auto"}, ("fg", False, True)),
        ({"type": "auto", "disable_parallel_tool_use": True}, ("fg", False, False)),
        ({"type": "any"}, ("fg", True, True)),
        ({"type": "any", "disable_parallel_tool_use": True}, ("fg", True, False)),
        ({"type": "tool", "name": "g"}, ("g", True, False)),
        ({"type": "none"}, ("", False, True)),
    ],
)
def test_which_may_be_called(choice: Any, expected: tuple[str, bool, bool]) -> None:
    task, _ = read(tools=[F, {**F, "name": "g"}], tool_choice=choice)
    assert ("".join(tool.name for tool in task.tools), task.must_call, task.parallel_calls) == expected


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"tools": [{"name": "f"}]}, "tools[0].input_schema", "missing_required_parameter"),
        ({"tools": [{**F, "name": "a b"}]}, "tools[0].name", "invalid_value"),
        ({"tools": [{**F, "name": "m" * 129}]}, "tools[0].name", "string_above_max_length"),
        ({"tools": [F, F]}, "tools[1]", "invalid_value"),
        ({"tools": [{**F, "input_schema": {"type": "string"}}]}, "tools[0].input_schema.type", "invalid_value"),
        ({"tools": [{**F, "name": f"f{i}"} for i in range(MOST_TOOLS + 1)]}, "tools", "array_above_max_length"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].type", "unsupported_value"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type", "unsupported_value"),
        ({"tools": [{"type": "computer_20250124", "name": "computer"}]}, "tools[0].type", "unsupported_value"),
        ({"tools": [{"type": "mcp_toolset", "mcp_server_name": "x"}]}, "tools[0].type", "unsupported_value"),
        ({"tools": [{**F, "allowed_callers": ["code_execution_20260120"]}]}, "tools[0].allowed_callers",
         "unsupported_value"),
        ({"tools": [F], "tool_choice": "auto"}, "tool_choice", "invalid_type"),
        ({"tools": [F], "tool_choice": {"type": "required"}}, "tool_choice.type", "unsupported_value"),
        ({"tools": [F], "tool_choice": {"type": "tool"}}, "tool_choice.name", "missing_required_parameter"),
        ({"tools": [F], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice", "invalid_value"),
    ],
)  # fmt: skip
def test_what_is_refused(given: dict[str, Any], param: str, code: str) -> None:
    assert error(**given) == (param, code)


# --- Anthropic's own client


class Weather(BaseModel):
    """Tells the weather."""

    city: str
    days: int = Field(ge=1, le=7)


def test_an_answer_of_anthropics_is_taken_back() -> None:
    """As its client keeps it, with all that its models have besides; and as its tool runner and others store it."""
    answer = Answer.model_validate(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [
                {"type": "thinking", "thinking": "Hm", "signature": "x"},
                {"type": "text", "text": "I look.", "citations": None},
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "f",
                    "input": {"city": "Ulm"},
                    "caller": {"type": "direct"},
                },
            ],
            "stop_reason": "tool_use",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
    )
    assert isinstance(answer.content[-1], ToolUseBlock)
    for content in ([block.model_dump() for block in answer.content], answer.model_dump(exclude_none=True)["content"]):
        made = turns(USER, {"role": answer.role, "content": content}, user(result()))
        assert made == [
            Message("user", "Hi"),
            FineMessage("assistant", "I look.", (ToolCall("toolu_1", "f", '{"city":"Ulm"}'),), reasoning="Hm"),
            FineMessage("tool", "4", tool_call_id="toolu_1", name="f"),
        ]


def test_tools_and_forms_that_its_client_makes() -> None:
    @anthropic.beta_tool
    def tell(city: str, days: int = 1) -> str:
        """Tells the weather.

        Args:
            city: Where.
            days: How many.
        """
        return city + str(days)

    [tool] = read(tools=[tell.to_dict()])[0].tools
    assert (tool.name, tool.description) == ("tell", "Tells the weather.")
    assert json.loads(tool.parameters)["required"] == ["city"]
    form = {"type": "json_schema", "schema": anthropic.transform_schema(Weather)}
    assert read(output_config={"format": form})[0].sampling.grammar


# --- anything

_WORDS = st.sampled_from(
    [
        "text",
        "thinking",
        "tool_use",
        "tool_result",
        "document",
        "custom",
        "user",
        "assistant",
        "toolu_1",
        "f",
        "\ud800",
        "",
    ]
)
_KEYS = st.sampled_from(
    ["type", "role", "content", "text", "id", "name", "input", "tool_use_id", "source", "data", "is_error", "thinking"]
)
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _WORDS,
    lambda within: st.lists(within, max_size=3) | st.dictionaries(_KEYS, within, max_size=4),
    max_leaves=8,
)
_NAMES = st.sampled_from([*MESSAGES.schema.fields, "other"])


def _blocks(role: str, *blocks: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"role": st.just(role), "content": st.lists(st.one_of(*blocks), max_size=4)})


_IDS = st.sampled_from(["toolu_1", "toolu_2"])
_TEXTS = st.builds(text, st.text(max_size=3))
_CONVERSATIONS = st.lists(
    _blocks("user", _TEXTS, st.builds(result, _TEXTS.map(lambda one: [one]), _IDS))
    | _blocks("assistant", _TEXTS, st.builds(use, _IDS), st.just({"type": "thinking", "thinking": "Hm"})),
    min_size=1,
    max_size=6,
)


@given(st.dictionaries(_NAMES, _ANY, max_size=4), _CONVERSATIONS | st.lists(_ANY, max_size=3))
def test_anything_is_read_or_refused(more: dict[str, Any], messages: list[Any]) -> None:
    sent = {**body(messages=messages), **more}
    with suppress(InvalidRequest):
        MESSAGES.parse(sent, 7, DEFAULTS)
        MESSAGES.schema.ignored(sent)
        MESSAGES.schema.needs(sent)


@given(_CONVERSATIONS)
def test_nothing_of_a_conversation_is_lost(messages: list[Any]) -> None:
    try:
        made = turns(*messages)
    except InvalidRequest:
        return
    blocks = [block for message in messages for block in message["content"]]
    results = [turn for turn in made if turn.role == "tool"]
    calls = [call for turn in made if isinstance(turn, FineMessage) for call in turn.tool_calls]
    said = "\n".join(turn.content for turn in made if turn.role != "tool")
    assert len(results) == sum(block["type"] == "tool_result" for block in blocks)
    assert len(calls) == sum(block["type"] == "tool_use" for block in blocks)
    assert all(block["text"] in said for block in blocks if block["type"] == "text")
    assert all(before.role == "tool" or after.role != before.role for before, after in pairwise(made))
