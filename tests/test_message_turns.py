"""What conversations in Anthropic's words become: the turns that templates know, or errors that name the place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.schemas.message import MOST_PARTS
from shared.protocol import FineMessage, Message, ToolCall
from tests.messages import BILLING, CALL, MESSAGES, F, assistant, body, error, read, result, text, turns, use, user
from tests.parsing import USER


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("Hi\n", "Hi\n"),
        ("", ""),
        ([], ""),
        ([text("a", cache_control={"type": "ephemeral"}, citations=None), text("b", x=[1])], "a\nb"),
        ([{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "It is."}}], "It is."),
        (
            [
                {
                    "type": "document",
                    "title": "T",
                    "context": "C",
                    "source": {"type": "content", "content": [text("a"), text("b")]},
                    "citations": {"enabled": True},
                },
                text("So?"),
            ],
            "T\nC\na\nb\nSo?",
        ),
        ([{"type": "search_result", "title": "T", "source": "https://x", "content": [text("a")]}], "T\nhttps://x\na"),
    ],
)
def test_what_a_user_says(content: Any, said: str) -> None:
    assert turns({"role": "user", "content": content}) == [Message("user", said)]


def test_what_one_side_says_in_a_row_is_one_turn() -> None:
    found = turns(USER, user(text("b")), assistant(text("c")), assistant(use()), user(result()), user(text("d")))
    call = FineMessage("assistant", "c", (ToolCall("toolu_1", "f", "{}"),))
    tool = FineMessage("tool", "4", tool_call_id="toolu_1", name="f")
    assert found == [Message("user", "Hi\nb"), call, tool, Message("user", "d")]


def test_results_come_first_and_in_the_order_of_their_calls() -> None:
    calls = assistant(text("I look."), use("toolu_a", "f", city="Ulm"), use("toolu_b", "g"))
    found = turns(USER, calls, user(text("And?"), result("b", "toolu_b"), result("a", "toolu_a")))
    assert found[1:] == [
        FineMessage(
            "assistant", "I look.", (ToolCall("toolu_a", "f", '{"city":"Ulm"}'), ToolCall("toolu_b", "g", "{}"))
        ),
        FineMessage("tool", "a", tool_call_id="toolu_a", name="f"),
        FineMessage("tool", "b", tool_call_id="toolu_b", name="g"),
        Message("user", "And?"),
    ]


def test_an_id_that_is_given_again_is_that_of_the_latest_call() -> None:
    results = user(result("2", "b"), result("1", "a"))
    found = turns(
        USER, assistant(use("a", "f"), use("b", "g")), results, assistant(use("b", "f"), use("a", "g")), results
    )
    told = [(turn.name, turn.content) for turn in found if isinstance(turn, FineMessage) and turn.role == "tool"]
    assert told == [("f", "1"), ("g", "2"), ("f", "2"), ("g", "1")]


def test_each_turn_may_number_its_calls_anew() -> None:
    first, second = assistant(use("call_0", "f"), use("call_1", "g")), assistant(use("call_0", "g"))
    found = turns(USER, first, user(result("b", "call_1"), result("a", "call_0")), second, user(result("c", "call_0")))
    told = [(one.name, one.content) for one in found if isinstance(one, FineMessage) and one.role == "tool"]
    assert told == [("f", "a"), ("g", "b"), ("g", "c")]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (result(), "4"),
        (result(None), ""),
        (result([]), ""),
        (result([text("a"), {"type": "document", "source": {"type": "text", "data": "b"}}]), "a\nb"),
        (result([{"type": "tool_reference", "tool_name": "f"}, {"type": "tool_reference", "tool_name": "g"}]), "f\ng"),
        (result("No such city", is_error=True), "Error: No such city"),
        (result("error: no such city", is_error=True), "error: no such city"),
        (result(None, is_error=True), "Error"),
        (result("fine", is_error=False, cache_control={"type": "ephemeral"}), "fine"),
    ],
)
def test_results(block: dict[str, Any], said: str) -> None:
    assert turns(*CALL, user(block))[-1] == FineMessage("tool", said, tool_call_id="toolu_1", name="f")


def test_a_call_may_lack_its_result() -> None:
    assert turns(*CALL, USER)[-1] == Message("user", "Hi")


def test_thoughts_of_earlier_turns_are_taken_back() -> None:
    thoughts = [{"type": "thinking", "thinking": "Hm", "signature": "x"}, {"type": "redacted_thinking", "data": "y"}]
    [_, said, *_] = turns(USER, assistant(*thoughts, text("Hello")), USER)
    assert said == FineMessage("assistant", "Hello", reasoning="Hm")
    [_, said, *_] = turns(USER, assistant(thoughts[1], text("Hello")), USER)
    assert said == Message("assistant", "Hello")


@pytest.mark.parametrize(
    ("system", "expected"),
    [
        ("You are.", ["You are."]),
        ("", []),
        ([], []),
        ([text("a"), text("b", cache_control={"type": "ephemeral", "ttl": "1h"})], ["a\nb"]),
        ([text(BILLING), text("You are."), text("b")], ["You are.\nb"]),
        (f"{BILLING}\nYou are.", ["You are."]),
        (BILLING, []),
    ],
)
def test_system(system: Any, expected: list[str]) -> None:
    said = [Message("system", one) for one in expected]
    assert turns(USER, system=system) == [*said, Message("user", "Hi")]
    assert MESSAGES.schema.ignored(body(system=system)) == (["system"] if BILLING in json.dumps(system) else [])


def test_system_messages_in_between() -> None:
    brief = {"role": "system", "content": [text("Be short.")], "clear_at": "next_user_message"}
    lasting = {"role": "system", "content": "Be kind."}
    assert turns(lasting, USER, brief, system="You are.") == [
        Message("system", "You are.\nBe kind."),
        Message("user", "Hi"),
        Message("system", "Be short."),
    ]
    assert turns(USER, brief, assistant(text("a")), USER, lasting)[1:] == [
        Message("assistant", "a"),
        Message("user", "Hi"),
        Message("system", "Be kind."),
    ]


def test_a_last_message_of_the_assistant_is_gone_on_with() -> None:
    task, _ = read(messages=[USER, assistant(text("The")), {"role": "assistant", "content": "answer"}])
    assert task.continue_final
    assert task.messages[-1] == Message("assistant", "The\nanswer")
    assert not read()[0].continue_final
    assert read(messages=[USER, assistant(text("a"))], tools=[F], tool_choice={"type": "none"})[0].continue_final


@pytest.mark.parametrize(
    ("messages", "param", "code"),
    [
        ([], "messages", "empty_array"),
        ([USER] * 2049, "messages", "array_above_max_length"),
        ([USER, assistant(*map(use, map(str, range(2047)))), user(*(result("", str(i)) for i in range(2047)))],
         "messages", "array_above_max_length"),
        ([1], "messages[0]", "invalid_type"),
        ([{"role": "tool", "content": ""}], "messages[0].role", "unsupported_value"),
        ([{"content": ""}], "messages[0].role", "missing_required_parameter"),
        ([{"role": "user"}], "messages[0].content", "missing_required_parameter"),
        ([{"role": "user", "content": 1}], "messages[0].content", "invalid_type"),
        ([user(*[text("")] * (MOST_PARTS + 1))], "messages[0].content", "array_above_max_length"),
        ([user("a")], "messages[0].content[0]", "invalid_type"),
        ([user({"text": "a"})], "messages[0].content[0].type", "missing_required_parameter"),
        ([user(text("a"), {"type": "text"})], "messages[0].content[1].text", "missing_required_parameter"),
        ([user(text("\ud800"))], "messages[0].content[0].text", "invalid_value"),
        ([user({**text("a"), **dict.fromkeys(map(str, range(64)))})], "messages[0].content[0]", "invalid_value"),
        ([user({"type": "image", "source": {"type": "url", "url": "x"}})], "messages[0].content[0].type",
         "unsupported_value"),
        ([user({"type": "document", "source": {"type": "base64", "data": ""}})],
         "messages[0].content[0].source.type", "unsupported_value"),
        ([user({"type": "document", "source": {"type": "content", "content": [{"type": "image"}]}})],
         "messages[0].content[0].source.content[0].type", "unsupported_value"),
        ([*CALL, user(result([{"type": "image"}]))], "messages[2].content[0].content[0].type", "unsupported_value"),
        ([*CALL, user(result([{"type": "tool_reference"}]))], "messages[2].content[0].content[0].tool_name",
         "missing_required_parameter"),
        ([user({"type": "tool_reference", "tool_name": "f"})], "messages[0].content[0].type", "unsupported_value"),
        ([*CALL, user(result("", ""))], "messages[2].content[0].tool_use_id", "invalid_value"),
        ([*CALL, user(text("a"), result("", "other"))], "messages[2].content[1].tool_use_id", "invalid_value"),
        ([user(result()), *CALL, USER], "messages[0].content[0].tool_use_id", "invalid_value"),
        ([*CALL, user(result(is_error="yes"))], "messages[2].content[0].is_error", "invalid_type"),
        ([user(use())], "messages[0].content[0].type", "invalid_value"),
        ([*CALL, assistant(result())], "messages[2].content[0].type", "invalid_value"),
        ([user(text("a"), {"type": "thinking", "thinking": "a"})], "messages[0].content[1].type", "invalid_value"),
        ([USER, assistant({**use(), "input": "{}"})], "messages[1].content[0].input", "invalid_type"),
        ([USER, assistant({**use(), "input": {"a": "\ud800"}})], "messages[1].content[0].input", "invalid_value"),
        ([USER, assistant({**use(), "id": None})], "messages[1].content[0].id", "missing_required_parameter"),
        ([USER, assistant({"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}})],
         "messages[1].content[0].type", "unsupported_value"),
        (CALL, "messages[1]", "invalid_value"),
        ([*CALL, assistant(text("a"))], "messages[2]", "invalid_value"),
        ([USER, {"role": "system", "content": "", "clear_at": "soon"}], "messages[1].clear_at", "unsupported_value"),
        ([USER, {"role": "system", "content": "", "output_config": {"effort": "low"}}], "messages[1].output_config",
         "unsupported_value"),
    ],
)  # fmt: skip
def test_what_is_no_conversation(messages: list[Any], param: str, code: str) -> None:
    assert error(messages=messages) == (param, code)


def test_an_answer_cannot_be_gone_on_with_beside_tools() -> None:
    assert error(messages=[USER, assistant(text("a"))], tools=[F]) == ("messages[1]", "invalid_value")
