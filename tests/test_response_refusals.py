"""What a request for a response is refused for: each time by the name of what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.schemas.responses.format import ResponsesFormat
from gateway.schemas.responses.references import Referred
from shared.config import Config
from tests.parsing import DEFAULTS, refused
from tests.response_items import CALL, LOOK, RESPONSES, RESULT, SAID, THOUGHT, items


def refused_response(config: Config = DEFAULTS, **given: Any) -> tuple[str | None, str]:
    return refused({"model": "m", "input": "Hello", **given}, RESPONSES, config)


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": []}, "input", "missing_required_parameter"),
        ({"input": 3}, "input", "invalid_type"),
        ({"input": [3]}, "input[0]", "invalid_type"),
        ({"input": [{}]}, "input[0].type", "missing_required_parameter"),
        ({"input": [{"type": "web_search_call"}]}, "input[0].type", "unsupported_value"),
        ({"input": [{"role": "tool", "content": ""}]}, "input[0].role", "invalid_value"),
        ({"input": [{"role": "user"}]}, "input[0].content", "missing_required_parameter"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input[0].content[0].type",
            "unsupported_value",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_audio"}]}]},
            "input[0].content[0].type",
            "unsupported_value",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "refusal"}]}]},
            "input[0].content[0].type",
            "unsupported_value",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "\ud800"}]}]},
            "input[0].content[0].text",
            "invalid_value",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_data": "%"}]}]},
            "input[0].content[0].file_data",
            "invalid_value",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_data": "/w=="}]}]},
            "input[0].content[0].file_data",
            "unsupported_value",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
            "input[0].content[0].file_id",
            "missing_required_parameter",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "x"}]}]},
            "input[0].content[0].file_url",
            "unsupported_parameter",
        ),
        ({"input": [{**CALL, "call_id": ""}]}, "input[0].call_id", "invalid_value"),
        ({"input": [{**CALL, "name": None}]}, "input[0].name", "missing_required_parameter"),
        ({"input": [{**CALL, "arguments": [3]}]}, "input[0].arguments", "invalid_type"),
        ({"input": [RESULT]}, "input[0].call_id", "invalid_value"),
        ({"input": [{**THOUGHT, "content": [{}]}]}, "input[0].content[0].text", "missing_required_parameter"),
        ({"input": [{"type": "item_reference", "id": "a b"}]}, "input[0].id", "invalid_value"),
        ({"messages": []}, "messages", "unknown_parameter"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt", "unsupported_parameter"),
        ({"moderation": {"model": "x"}}, "moderation", "unsupported_parameter"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "unsupported_value"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0].type", "unsupported_value"),
        ({"tools": [{"type": "namespace", "name": "x", "tools": []}]}, "tools[0].type", "unsupported_value"),
        ({"tools": [LOOK, LOOK]}, "tools[1]", "invalid_value"),
        ({"tools": [LOOK], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice", "invalid_value"),
        ({"tools": [LOOK], "tool_choice": {"type": "file_search"}}, "tool_choice.type", "unsupported_value"),
        (
            {"text": {"format": {"type": "json_schema", "name": "x"}}},
            "text.format.schema",
            "missing_required_parameter",
        ),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type", "unsupported_value"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort", "unsupported_value"),
        ({"max_output_tokens": 0}, "max_output_tokens", "integer_below_min_value"),
        ({"top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
        ({"include": ["everything"]}, "include[0]", "unsupported_value"),
        ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
        ({"truncation": "middle"}, "truncation", "unsupported_value"),
        ({"conversation": {}}, "conversation.id", "missing_required_parameter"),
        ({"conversation": "c", "previous_response_id": "r"}, "conversation", "invalid_value"),
        ({"background": True, "store": False}, "background", "unsupported_value"),
        ({"conversation": "c", "store": False}, "conversation", "unsupported_value"),
        ({"stream": True, "tools": [LOOK], "top_logprobs": 1}, "top_logprobs", "unsupported_value"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(given: dict[str, Any], param: str, code: str) -> None:
    assert refused_response(**given) == (param, code)


def test_the_items_are_bounded_together_with_those_before() -> None:
    few = Config(max_messages=2)
    assert refused_response(few, input=[SAID] * 3) == ("input", "array_above_max_length")
    wire = ResponsesFormat(Referred((*items(SAID, SAID),)))
    assert refused({"model": "m", "input": "Hi"}, wire, few) == ("input", "array_above_max_length")
    orphan = Referred(({**RESULT, "id": "fco_1"},))
    assert refused({"model": "m", "conversation": "c"}, ResponsesFormat(orphan)) == (
        "conversation.call_id",
        "invalid_value",
    )
