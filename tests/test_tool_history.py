"""What conversations say of tools: the calls that were made, their results, and the thoughts before them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError

from gateway.schemas.tool_calls import pair
from shared.protocol import FineMessage, Message, ToolCall
from tests.parsing import USER, chat, refused_chat


def called(name: str = "f", arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def assistant(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def result(identifier: str | None = "1", content: Any = "4", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identifier, "content": content, **more}


def turns(*messages: dict[str, Any]) -> tuple[Message, ...]:
    found: tuple[Message, ...] = chat(messages=[USER, *messages])[0].messages[1:]
    return found


BLANK: list[Any] = [None, "", " \n", {}, []]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (called(arguments='{"a": 1}'), ToolCall("1", "f", '{"a": 1}')),
        (called(arguments='{"a": '), ToolCall("1", "f", '{"a": ')),
        (called(arguments={"a": [1.5, "é"]}), ToolCall("1", "f", '{"a":[1.5,"é"]}')),
        *((called(arguments=blank), ToolCall("1", "f", "{}")) for blank in BLANK),
        (called(id=None), ToolCall("call_1_0", "f", "{}")),
        (called(id="x" * 16_384), ToolCall("x" * 16_384, "f", "{}")),
        (called(type=None, index=0, extra_content={"google": {}}), ToolCall("1", "f", "{}")),
        (called("mcp.server/tool"), ToolCall("1", "mcp.server/tool", "{}")),
        ({"id": "1", "type": "custom", "custom": {"name": "c", "input": "a\nb"}}, ToolCall("1", "c", "a\nb", True)),
        ({"id": "1", "type": "custom", "custom": {"name": "c"}}, ToolCall("1", "c", "", True)),
    ],
)
def test_calls(call: dict[str, Any], expected: ToolCall) -> None:
    assert turns(assistant(call)) == (FineMessage("assistant", "", (expected,)),)


def test_an_answer_of_openais_is_taken_back() -> None:
    dumped: dict[str, Any] = {
        "content": "Let me see.",
        "refusal": None,
        "role": "assistant",
        "annotations": [],
        "audio": None,
    }
    said = {**dumped, "function_call": None, "tool_calls": [called("f", "{}"), called("g", "{}", id="2")]}
    answered = turns(said, result("2", [{"type": "text", "text": "5"}]), result("1"), USER)
    calls = (ToolCall("1", "f", "{}"), ToolCall("2", "g", "{}"))
    assert answered == (
        FineMessage("assistant", "Let me see.", calls),
        FineMessage("tool", "5", tool_call_id="2", name="g"),
        FineMessage("tool", "4", tool_call_id="1", name="f"),
        Message("user", "Hi"),
    )


def test_functions_of_before() -> None:
    turn = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a":1}'}}
    assert turns(turn, {"role": "function", "name": "f", "content": "4"}) == (
        FineMessage("assistant", "", (ToolCall("call_1_0", "f", '{"a":1}'),)),
        FineMessage("tool", "4", tool_call_id="call_1_0", name="f"),
    )


@pytest.mark.parametrize(
    ("messages", "param", "code"),
    [
        ([result()], "messages[1].tool_call_id", "invalid_value"),
        ([result(None)], "messages[1].role", "invalid_value"),
        ([assistant(called()), result("2")], "messages[2].tool_call_id", "invalid_value"),
        ([assistant(called()), result("1"), result(None)], "messages[3].role", "invalid_value"),
        ([assistant(called()), result(None, name="g")], "messages[2].name", "invalid_value"),
        ([result(), assistant(called())], "messages[1].tool_call_id", "invalid_value"),
        ([assistant(called()), result(1)], "messages[2].tool_call_id", "invalid_type"),  # type: ignore[arg-type]  # wrong on purpose
        ([assistant(called()), result("1", name=["f"])], "messages[2].name", "invalid_type"),
        ([assistant(called()), result("x" * 20_000)], "messages[2].tool_call_id", "string_above_max_length"),
        ([assistant(called(id="x" * 20_000))], "messages[1].tool_calls[0].id", "string_above_max_length"),
        ([assistant(*[called()] * 129)], "messages[1].tool_calls", "array_above_max_length"),
        ([assistant({"id": "1"})], "messages[1].tool_calls[0].function", "missing_required_parameter"),
        ([assistant(called(type="mcp"))], "messages[1].tool_calls[0].type", "unsupported_value"),
        ([assistant(called(""))], "messages[1].tool_calls[0].function.name", "invalid_value"),
        ([assistant(called(arguments=1))], "messages[1].tool_calls[0].function.arguments", "invalid_type"),
        ([assistant(called(arguments="\ud800"))], "messages[1].tool_calls[0].function.arguments", "invalid_value"),
        ([{**USER, "tool_calls": [called()]}], "messages[1].tool_calls", "invalid_value"),
        ([{**USER, "function_call": {"name": "f"}}], "messages[1].function_call", "invalid_value"),
        ([assistant(called(), function_call={"name": "f"})], "messages[1].function_call", "invalid_value"),
        (
            [{"role": "assistant", "function_call": {"x": 1}}],
            "messages[1].function_call.name",
            "missing_required_parameter",
        ),
    ],
)
def test_bad_calls_and_results(messages: list[dict[str, Any]], param: str, code: str) -> None:
    assert refused_chat(messages=[USER, *messages]) == (param, code)


def owners(*messages: dict[str, Any]) -> list[tuple[str, str]]:
    """(id, name) of every result."""
    return [(turn.tool_call_id, turn.name) for turn in turns(*messages) if isinstance(turn, FineMessage) and turn.name]


def test_results_find_their_calls() -> None:
    twice = assistant(called("f"), called("g"))
    assert owners(twice, result(), result()) == [("1", "f"), ("1", "g")]
    assert owners(twice, result(), result(), result()) == [("1", "f"), ("1", "g"), ("1", "g")]
    assert owners(assistant(called("f")), result(), assistant(called("g")), result()) == [("1", "f"), ("1", "g")]
    unnamed = assistant(called("f", id=""), called("g", id=None), called("f", id=None))
    by_turn = owners(unnamed, result(None, name="g"), result(None), result("", name="f"))
    assert by_turn == [("call_1_1", "g"), ("call_1_0", "f"), ("call_1_2", "f")]
    cut_short = assistant(called("f"), called("h", id="2"))
    again = [cut_short, USER, assistant(called("g")), result(), result(None, name=None)]
    assert refused_chat(messages=[USER, *again]) == ("messages[5].role", "invalid_value")
    assert owners(*again[:-1], result("2")) == [("1", "g"), ("2", "h")]
    apart = [assistant(called("f", id=None)), assistant(called("g", id=None))]
    assert owners(*apart, result(None), result(None)) == [("call_1_0", "f"), ("call_2_0", "g")]
    shared = assistant(called("f"), called("g"), called("f"))
    assert owners(shared, result(name="g"), result(name="h"), result()) == [("1", "g"), ("1", "f"), ("1", "f")]
    assert owners(assistant(called("f")), USER, result("1", name="other")) == [("1", "f")]
    assert turns(assistant(called("f")), USER) == (
        FineMessage("assistant", "", (ToolCall("1", "f", "{}"),)),
        *turns(USER),
    )


NAMES, IDS = st.sampled_from(["f", "g"]), st.sampled_from(["", "1", "2"])
TURNS = st.one_of(
    st.lists(st.builds(ToolCall, IDS, NAMES, st.just("{}")), min_size=1, max_size=4).map(
        lambda calls: FineMessage("assistant", "", tuple(calls))
    ),
    st.builds(lambda identifier, name: FineMessage("tool", "x", (), identifier, name), IDS, NAMES | st.just("")),
    st.just(Message("user", "x")),
)


@given(st.lists(TURNS, max_size=12))
def test_every_result_is_that_of_a_call_before_it(messages: list[Message]) -> None:
    try:
        paired = pair(messages)
    except ValidationError:
        return
    known: dict[str, set[str]] = {}
    for before, after in zip(messages, paired, strict=True):
        assert (after.role, after.content) == (before.role, before.content)
        if isinstance(before, FineMessage) and isinstance(after, FineMessage):
            for old, new in zip(before.tool_calls, after.tool_calls, strict=True):
                assert new.id == old.id or (new.id and not old.id)
                known.setdefault(new.id, set()).add(new.name)
            if before.role == "tool":
                assert after.name in known[after.tool_call_id]
                assert before.tool_call_id in ("", after.tool_call_id)
                assert before.name in ("", after.name) or before.tool_call_id


# --- what was thought


@pytest.mark.parametrize(
    ("more", "content", "thoughts"),
    [
        ({"reasoning_content": "So."}, "", "So."),
        ({"reasoning": "So."}, "", "So."),
        ({"thinking": "So."}, "", "So."),
        ({"reasoning_content": " ", "reasoning": "So.", "thinking": "Or so."}, "", "So."),
        ({"reasoning": {"effort": "low"}, "thinking": [1]}, "", ""),
        ({"content": [{"type": "thinking", "thinking": "So."}, {"type": "text", "text": "Yes"}]}, "Yes", "So."),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}, 1, {"text": "b"}]}]},
            "",
            "a\nb",
        ),
        ({"content": [{"type": "reasoning", "text": "a"}, {"type": "reasoning", "reasoning": "b"}]}, "", "a\nb"),
        ({"content": [{"type": "redacted_thinking", "data": "x"}, "Yes"]}, "Yes", ""),
        ({"content": [{"type": "thinking", "thinking": {}}, "Yes"]}, "Yes", ""),
    ],
)
def test_thoughts(more: dict[str, Any], content: str, thoughts: str) -> None:
    fine = FineMessage("assistant", content, reasoning=thoughts)
    assert turns({"role": "assistant", **more}) == (fine if thoughts else Message("assistant", content),)
    assert turns({"role": "user", **more}) == (Message("user", content),)


def test_thoughts_stand_beside_calls() -> None:
    [turn] = turns(assistant(called(), reasoning_content="So."))
    assert turn == FineMessage("assistant", "", (ToolCall("1", "f", "{}"),), reasoning="So.")
