"""What a request for a response is read as: turns for a model, items that are listed, and what the answer repeats."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from openai.types.responses import Response, ResponseItem
from pydantic import TypeAdapter

from gateway.schemas import FORMATS
from gateway.schemas.responses.ids import output_id, response_of
from gateway.schemas.responses.parts import FileText
from gateway.schemas.responses.references import Names, Referred, names
from shared.errors import NotStored
from shared.protocol import FineChat, FineMessage, Message
from tests.response_items import (
    CALL,
    CALLS,
    CUSTOM,
    HELLO,
    LOOK,
    RESPONSES,
    RESULT,
    SAID,
    THOUGHT,
    WRITE,
    WRITTEN,
    items,
    parse,
)

TEXT = base64.b64encode("größer".encode()).decode()


def turns(*given: Any, **more: Any) -> tuple[Message, ...]:
    return parse(input=[*given], **more)[0].messages


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("Hello", "Hello"),
        ([{"role": "user", "content": "Hello"}], "Hello"),
        ([{"type": "message", "role": "user", "content": [HELLO, {**HELLO, "text": "there"}]}], "Hello\nthere"),
        ([{"role": "user", "content": [{"type": "input_file", "file_data": TEXT}]}], "größer"),
        (
            [{"role": "user", "content": [{"type": "input_file", "file_data": f"data:text/plain;base64,{TEXT}"}]}],
            "größer",
        ),
        (
            [{"role": "user", "content": [{"type": "input_file", "filename": "a.txt", "file_data": "data:,a%20b"}]}],
            "a.txt\na b",
        ),
    ],
)
def test_the_user_speaks(given: Any, told: str) -> None:
    task, options = parse(input=given)
    assert task.messages == (Message("user", told),)
    assert options.kept
    [item] = options.kept.given
    assert (item["type"], item["role"], item["status"]) == ("message", "user", "completed")
    assert item["id"].startswith("msg_")


def test_instructions_are_one_turn_before_all_others() -> None:
    given = turns(
        {"role": "developer", "content": "In verse."}, {"role": "user", "content": "Hi"}, instructions="Brief."
    )
    assert given == (Message("system", "Brief.\nIn verse."), Message("user", "Hi"))


def test_what_the_assistant_said_is_one_turn_and_results_have_their_calls_order() -> None:
    assert turns({"role": "user", "content": "Go"}, THOUGHT, SAID, CALL, CUSTOM, WRITTEN, RESULT)[1:] == (
        FineMessage("assistant", "Well", CALLS, reasoning="hm"),
        FineMessage("tool", "blue", tool_call_id="c1", name="look"),
        FineMessage("tool", "done", tool_call_id="c2", name="write"),
    )


def test_a_summary_stands_for_thoughts_that_are_not_told() -> None:
    summed = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "so"}], "encrypted_content": "abc"}
    assert turns(summed, SAID) == (FineMessage("assistant", "Well", reasoning="so"),)
    assert RESPONSES.schema.ignored({"model": "m", "input": [summed, SAID]}) == ["input[].encrypted_content"]


def test_every_kind_of_item_is_stored_in_openais_shape_and_comes_back_the_same() -> None:
    phased = {**SAID, "id": "msg_x", "status": "incomplete", "phase": "commentary"}
    spoiled = {**phased, "content": [{**SAID["content"][0], "annotations": [{"x": 1}], "logprobs": [1]}]}  # type: ignore[dict-item]  # its content is a list
    easy = [{"role": role, "content": "Hi"} for role in ("system", "developer", "user", "assistant")]
    stored = items(*easy, THOUGHT, spoiled, CALL, CUSTOM, RESULT, WRITTEN)
    for item in stored:
        TypeAdapter(ResponseItem).validate_python(item, strict=True)
    assert stored[5] == {**phased, "content": SAID["content"]}
    assert len({item["id"] for item in stored}) == len(stored)
    assert items(*stored) == stored


def test_ids_are_the_same_for_the_same_and_others_for_others() -> None:
    said = {"role": "user", "content": "Hi"}
    first, second = items(said, said)
    assert (first, second) == tuple(items(said, said))
    assert first["id"] != second["id"]
    for other in ({"previous_response_id": "resp_1"}, {"conversation": "conv_1"}):
        assert items(said, **other)[0]["id"] != first["id"]
    twice = items({**said, "id": "msg_1"}, {**said, "id": "msg_1"}, {**said, "id": "no id"})
    assert [item["id"] == "msg_1" for item in twice] == [True, False, False]
    assert response_of(output_id("fc", f"resp_{'a' * 32}", 300)) == f"resp_{'a' * 32}"
    assert response_of(first["id"]) == response_of("msg_1") == ""


def test_what_is_inherited_comes_first_and_stays_as_it_is() -> None:
    before = items({"role": "user", "content": "Hi"}, SAID)
    task, options = parse(Referred(tuple(before)), previous_response_id="resp_1", instructions="Now.")
    assert task.messages == (
        Message("system", "Now."),
        Message("user", "Hi"),
        Message("assistant", "Well"),
        Message("user", "Hello"),
    )
    assert options.kept
    assert (options.kept.inherited, [*options.kept.given[:2]], len(options.kept.given)) == (2, before, 3)
    assert parse(Referred(tuple(before)), input=None, conversation={"id": "conv_1"})[1].kept.conversation == "conv_1"  # type: ignore[union-attr]  # it is kept


def test_items_and_files_are_what_their_ids_stand_for() -> None:
    [call] = items({**CALL, "id": "fc_1"})
    file = {"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}
    referred = Referred(items={"fc_1": call}, files={"file-1": FileText("b.txt", "Hi")})
    task, options = parse(referred, input=[{"id": "fc_1"}, RESULT, file])
    assert task.messages[1:] == (
        FineMessage("tool", "blue", tool_call_id="c1", name="look"),
        Message("user", "b.txt\nHi"),
    )
    assert options.kept
    assert options.kept.given[0] == call
    with pytest.raises(NotStored) as caught:
        parse(input=[{"type": "item_reference", "id": "fc_2"}])
    assert caught.value.param == "input[0].id"
    body = {"input": [{"id": "fc_1"}, {"type": "item_reference", "id": "x"}, file, {"role": "user", "content": 3}, 3]}
    assert names(body) == Names(items=("fc_1", "x"), files=("file-1",))
    assert names({"previous_response_id": "r"}) == Names(previous="r")
    assert names({"conversation": {"id": "c"}}) == names({"conversation": "c"}) == Names(conversation="c")
    odds: tuple[Any, ...] = (3, [], {"input": 3}, {"input": [{"id": 3}]}, {"conversation": {"id": []}, "input": {}})
    for odd in odds:
        assert names(odd) == Names()


def test_tools_stand_without_an_object_around_them() -> None:
    task, options = parse(
        tools=[LOOK, WRITE],
        tool_choice={"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "write"}]},
    )
    assert isinstance(task, FineChat)
    [tool] = task.tools
    assert tool.grammar
    assert (tool.name, tool.custom, tool.grammar.source, task.must_call) == ("write", True, "a+", True)
    assert options.asked["tools"] == [{**LOOK, "description": None}, WRITE]
    task, _ = parse(tools=[LOOK], tool_choice={"type": "function", "name": "look"}, parallel_tool_calls=True)
    assert isinstance(task, FineChat)
    assert (task.must_call, task.parallel_calls) == (True, False)


def test_how_it_is_sampled_and_answered() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    form = {"type": "json_schema", "name": "n", "schema": schema, "strict": True}
    task, options = parse(
        text={"format": form, "verbosity": "low"},
        reasoning={"effort": "low", "summary": "auto"},
        include=["message.output_text.logprobs", "web_search_call.results"],
        max_output_tokens=16,
        service_tier="flex",
        stream=True,
        background=True,
        seed=3,
        top_k=5,
        repetition_penalty=1.1,
        stop="x",
    )
    chosen = task.sampling
    assert chosen.grammar
    assert (chosen.grammar.kind, chosen.grammar.strict, chosen.grammar.param) == ("json", True, "text.format")
    assert (chosen.seed, chosen.top_k, chosen.repeat_penalty, chosen.stop) == (3, 5, 1.1, ("x",))
    assert (chosen.max_tokens, chosen.logprobs) == (16, 0)
    assert isinstance(task, FineChat)
    assert task.effort == "low"
    assert (options.stream, options.background, options.tier) == (True, True, "flex")
    assert options.asked["text"] == {"format": {**form, "description": None}, "verbosity": "low"}
    assert options.asked["reasoning"] == {"effort": "low", "summary": "auto"}
    assert parse(text={"format": {"type": "json_object"}})[1].asked["text"]["format"] == {"type": "json_object"}
    assert parse(store=False)[1].kept is None
    assert parse()[0].sampling.logprobs is None


def test_what_is_repeated_is_what_holds() -> None:
    asked = parse(previous_response_id="resp_1", user="me", metadata={"a": "b"}, tools=[LOOK, WRITE])[1].asked
    made = {"id": "r", "created_at": 1, "model": "m", "object": "response", "output": [], **asked}
    Response.model_validate(made, strict=True)
    assert (asked["previous_response_id"], asked["user"], asked["metadata"]) == ("resp_1", "me", {"a": "b"})
    assert parse(conversation="conv_1")[1].asked["conversation"] == {"id": "conv_1"}


def test_what_asks_for_nothing_is_told() -> None:
    body = {
        "model": "m",
        "input": "Hi",
        "user": "me",
        "max_tool_calls": 3,
        "include": ["file_search_call.results"],
        "stream_options": {"include_obfuscation": False},
        "context_management": [{"type": "compaction"}],
        "parallel_tool_calls": True,
        "text": {"verbosity": "low"},
    }
    assert set(RESPONSES.schema.ignored(body)) == body.keys() - {"model", "input"}
    assert (
        RESPONSES.schema.ignored({**body, "stream": True, "tools": [{**LOOK, "defer_loading": True}]}).count("include")
        == 1
    )
    assert FORMATS["openai.input_tokens"].schema.ignored({"input": "Hi", "personality": "x"}) == ["personality"]
