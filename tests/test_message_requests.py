"""What Anthropic's requests become: tasks and how they are answered, or errors that name the parameter."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schemas import FORMATS
from gateway.schemas.anthropic import tools as anthropic_tools
from gateway.schemas.message import MOST_PARTS
from shared.config import Config
from shared.errors import InvalidRequest
from shared.protocol import FineChat, FineMessage, Grammar, Message, Options, ToolCall
from shared.registry import Ability
from tests.parsing import DEFAULTS, USER, refused

MESSAGES = FORMATS["anthropic.messages"]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
F = {"name": "f", "input_schema": SCHEMA}
BILLING = "x-anthropic-billing-header: cc_version=2.1.100.7b4; cc_entrypoint=cli; cch=eb6c6;"


def body(**given: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 100, "messages": [USER], **given}


def read(config: Config = DEFAULTS, **given: Any) -> tuple[FineChat, Options]:
    task, options = MESSAGES.parse(body(**given), 7, config)
    assert isinstance(task, FineChat)
    return task, options


def turns(*messages: dict[str, Any], **given: Any) -> list[Message]:
    return list(read(messages=list(messages), **given)[0].messages)


def error(**given: Any) -> tuple[str | None, str]:
    return refused(body(**given), MESSAGES)


def text(said: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": said, **more}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def assistant(*blocks: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks)}


def use(identifier: str = "toolu_1", name: str = "f", **arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": identifier, "name": name, "input": arguments}


def result(content: Any = "4", identifier: str = "toolu_1", **more: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": identifier, "content": content, **more}


CALL = [USER, assistant(use())]


# --- the conversation


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
        FineMessage("assistant", "I look.", (ToolCall("toolu_a", "f", '{"city":"Ulm"}'), ToolCall("toolu_b", "g", "{}"))),
        FineMessage("tool", "a", tool_call_id="toolu_a", name="f"),
        FineMessage("tool", "b", tool_call_id="toolu_b", name="g"),
        Message("user", "And?"),
    ]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (result(), "4"),
        (result(None), ""),
        (result([]), ""),
        (result([text("a"), {"type": "document", "source": {"type": "text", "data": "b"}}]), "a\nb"),
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
        ([USER, {"role": "system", "content": "", "clear_at": "soon"}], "messages[1].clear_at", "unsupported_value"),
        ([USER, {"role": "system", "content": "", "output_config": {"effort": "low"}}], "messages[1].output_config",
         "unsupported_value"),
    ],
)  # fmt: skip
def test_what_is_no_conversation(messages: list[Any], param: str, code: str) -> None:
    assert error(messages=messages) == (param, code)


def test_an_answer_cannot_be_gone_on_with_beside_tools() -> None:
    assert error(messages=[USER, assistant(text("a"))], tools=[F]) == ("messages[1]", "invalid_value")


# --- how to answer


def test_the_usual_request() -> None:
    task, options = read(stop_sequences=["\n\nHuman:"], temperature=0.5, top_p=0.9, top_k=40, stream=True)
    sampling = task.sampling
    assert (sampling.seed, sampling.max_tokens, sampling.stop) == (7, 100, ("\n\nHuman:",))
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.5, 0.9, 40)
    assert options == Options(stream=True, include_usage=True, hides_reasoning=True)
    assert read()[0].sampling.temperature is None  # the model's own, else 1
    assert read(service_tier="standard_only") == read(service_tier="auto") == read()


def test_more_tokens_than_the_operator_allows_are_as_many_as_he_does() -> None:
    few = Config(max_tokens=50)
    assert read(few)[0].sampling.max_tokens == 50
    assert read(few, max_tokens=10)[0].sampling.max_tokens == 10
    assert read(max_tokens=64_000)[0].sampling.max_tokens == DEFAULTS.max_tokens
    assert MESSAGES.schema.ignored(body(max_tokens=64_000)) == ["max_tokens"]
    assert MESSAGES.schema.ignored(body(max_tokens=DEFAULTS.max_tokens)) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (False, "", None, True)),
        ({"thinking": {"type": "disabled"}}, (False, "", None, True)),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, (True, "", 2000, False)),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"}}, (True, "", 2000, True)),
        ({"thinking": {"type": "adaptive", "display": "summarized"}}, (None, "", None, False)),
        ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}}, (None, "xhigh", None, False)),
        ({"output_config": {"effort": "low"}}, (False, "", None, True)),
    ],
)
def test_thinking(given: dict[str, Any], expected: tuple[bool | None, str, int | None, bool]) -> None:
    task, options = read(**given)
    assert (task.thinking, task.effort, task.thinking_budget, options.hides_reasoning) == expected


def test_what_asks_for_thoughts_is_told_where_there_are_none() -> None:
    thinking = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}
    needs = {"thinking": Ability.REASONING, "output_config.effort": Ability.EFFORT}
    assert MESSAGES.schema.needs(body(**thinking)) == needs
    assert MESSAGES.schema.needs(body(thinking={"type": "disabled"})) == MESSAGES.schema.needs(body()) == {}
    assert MESSAGES.schema.ignored(body(**thinking)) == []
    assert MESSAGES.schema.ignored(body(output_config={"effort": "low"})) == ["output_config.effort"]


def test_structured_output() -> None:
    wanted = {"type": "json_schema", "schema": SCHEMA}
    for given, param in (
        ({"output_config": {"format": wanted}}, "output_config.format"),
        ({"output_format": wanted}, "output_format"),
        ({"output_config": {"format": wanted}, "output_format": wanted}, "output_config.format"),
    ):
        assert read(**given)[0].sampling.grammar == Grammar("json", json.dumps(SCHEMA, separators=(",", ":")), param=param)
    other = {"type": "json_schema", "schema": {"type": "object"}}
    assert error(output_config={"format": wanted}, output_format=other) == ("output_format", "invalid_value")
    assert error(output_config={"format": {"type": "text"}})[0] == "output_config.format.type"


IGNORED: dict[str, list[Any]] = {
    "metadata": [{"user_id": "somebody"}, {}],
    "cache_control": [{"type": "ephemeral", "ttl": "1h"}],
    "context_management": [{"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}],
    "diagnostics": [{"previous_message_id": "msg_1"}],
    "inference_geo": ["eu"],
    "speed": ["fast", "standard"],
    "betas": [["interleaved-thinking-2025-05-14"]],
    "anthropic_beta": [[]],
    "anthropic_version": ["bedrock-2023-05-31"],
    "billing_policy": [{"type": "billing_policy"}],
    "fallbacks": ["default", [{"model": "other"}]],
    "fallback_credit_token": ["x"],
    "user_profile_id": ["x"],
    "workspace_id": ["x"],
    "tool_choice": [{"type": "any"}, {"type": "none"}],
}


@pytest.mark.parametrize("name", IGNORED)
def test_what_asks_for_nothing_is_taken_and_told(name: str) -> None:
    for value in IGNORED[name]:
        assert read(**{name: value}) == read()
        assert MESSAGES.schema.ignored(body(**{name: value})) == [name]


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"model": None}, "model", "missing_required_parameter"),
        ({"max_tokens": None}, "max_tokens", "missing_required_parameter"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"max_tokens": "1"}, "max_tokens", "invalid_type"),
        ({"temperature": 1.1}, "temperature", "decimal_above_max_value"),
        ({"top_p": -0.1}, "top_p", "decimal_below_min_value"),
        ({"top_k": -1}, "top_k", "integer_below_min_value"),
        ({"stop_sequences": "a"}, "stop_sequences", "invalid_type"),
        ({"stop_sequences": ["a", ""]}, "stop_sequences[1]", "invalid_value"),
        ({"stop_sequences": ["a"] * 17}, "stop_sequences", "array_above_max_length"),
        ({"stop": ["a"]}, "stop", "unknown_parameter"),
        ({"n": 2}, "n", "unknown_parameter"),
        ({"service_tier": "flex"}, "service_tier", "unsupported_value"),
        ({"system": [{"type": "image"}]}, "system[0].type", "unsupported_value"),
        ({"system": [text("a"), use()]}, "system[1].type", "unsupported_value"),
        ({"thinking": {"type": "between_tools"}}, "thinking.type", "unsupported_value"),
        ({"thinking": {"type": "enabled", "budget_tokens": 0}}, "thinking.budget_tokens", "integer_below_min_value"),
        ({"thinking": {"type": "adaptive", "budget_tokens": 1024}}, "thinking.budget_tokens", "invalid_value"),
        ({"output_config": {"effort": "none"}}, "output_config.effort", "unsupported_value"),
        ({"container": "container_1"}, "container", "unsupported_parameter"),
        ({"mcp_servers": [{"type": "url", "url": "x", "name": "x"}]}, "mcp_servers", "unsupported_value"),
        ({"compaction": {"type": "summarize"}}, "compaction", "unsupported_parameter"),
        ({"thread": {"type": "create"}}, "thread", "unsupported_parameter"),
        ({"speed": "slow"}, "speed", "unsupported_value"),
    ],
)
def test_what_is_refused(given: dict[str, Any], param: str, code: str) -> None:
    assert error(**given) == (param, code)
