"""What responses go on with: the response before, a conversation, items and files by their ids; and what they list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from tests.calls import problem
from tests.response_items import CALL, RESULT
from tests.stack import API_KEYS, KEYS, Stack, running, wait_for

RESPONSES = "/v1/responses"
FILE = [{"type": "input_file", "file_id": "file-0"}]


@pytest.fixture(scope="module")
def strict(echo: Stack) -> OpenAI:
    return echo.client(_strict_response_validation=True)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One with two API keys and one slow slot."""
    with running(tmp_path_factory.mktemp("owners"), api_keys=API_KEYS, echo_rate=20, max_body=8192) as stack:
        stack.start_gateway(processes=2)
        stack.start_worker(slots=1)
        yield stack


def listed(client: OpenAI, response_id: str, **how: Any) -> list[str]:
    """What a response was given, the last first: what its items say, or are."""
    return [
        item.content[0].text if item.type == "message" and item.content[0].type != "refusal" else item.type  # type: ignore[union-attr]  # of a message that a user or the model has sent
        for item in client.responses.input_items.list(response_id, **how)
    ]


def test_a_response_goes_on_with_the_one_before(strict: OpenAI) -> None:
    first = strict.responses.create(model="echo", input="one two", instructions="Be brief.")
    second = strict.responses.create(model="echo", input="three", previous_response_id=first.id)
    assert (second.output_text, second.previous_response_id, second.instructions) == ("three", first.id, None)
    assert listed(strict, second.id) == ["three", "one two", "one two"]
    strict.responses.delete(first.id)
    third = strict.responses.create(model="echo", input=[], previous_response_id=second.id)
    assert third.output_text == "three"
    whole = listed(strict, third.id, order="asc")
    assert whole == ["one two", "one two", "three", "three"]
    assert listed(strict, third.id, order="asc", limit=1) == whole, "page by page"
    page = strict.responses.input_items.list(third.id, limit=2)
    assert (page.has_more, len(page.data), page.data[0].id == third.output[0].id) == (True, 2, False)
    assert page.data[0].id == second.output[0].id, "an item has one id wherever it is told"
    rest = strict.responses.input_items.list(third.id, after=page.data[1].id)
    assert [item.id for item in rest] == [item.id for item in strict.responses.input_items.list(third.id)][2:]


def test_a_conversation_is_gone_on_with_and_grows(strict: OpenAI) -> None:
    conversation = strict.conversations.create(items=[{"role": "user", "content": "before"}])
    first = strict.responses.create(model="echo", input="now", conversation=conversation.id)
    assert first.conversation
    assert (first.conversation.id, listed(strict, first.id)) == (conversation.id, ["now", "before"])
    wait_for(lambda: len(list(strict.conversations.items.list(conversation.id))) == 3, "the answer is there")
    second = strict.responses.create(model="echo", input="later", conversation={"id": conversation.id})
    assert listed(strict, second.id) == ["later", "now", "now", "before"]


def test_items_are_found_by_their_ids_alone(strict: OpenAI) -> None:
    first = strict.responses.create(model="echo", input="one")
    said = {"type": "item_reference", "id": first.output[0].id}
    second = strict.responses.create(model="echo", input=[{"role": "user", "content": "one"}, said, _user("two")])  # type: ignore[list-item]  # the client's types want dicts of their own
    assert listed(strict, second.id) == ["two", "one", "one"]
    strict.responses.delete(first.id)
    given: Any = [said, {"id": second.output[0].id}, _user("three")]
    third = strict.responses.create(model="echo", input=given)
    assert listed(strict, third.id, order="asc") == ["one", "two", "three"], "the second was given the first's"
    with pytest.raises(NotFoundError) as caught:
        strict.responses.create(model="echo", input=[{"type": "item_reference", "id": "msg_0"}])
    assert caught.value.param == "input[0].id"


def test_calls_go_back_and_forth(strict: OpenAI) -> None:
    given: Any = [_user("look"), CALL, RESULT]
    first = strict.responses.create(model="echo", input=given)
    assert listed(strict, first.id, order="asc") == ["look", "function_call", "function_call_output"]
    given = [{**RESULT, "output": [{"type": "input_text", "text": "again"}]}]
    second = strict.responses.create(model="echo", input=given, previous_response_id=first.id)
    assert len(listed(strict, second.id)) == 5
    with pytest.raises(BadRequestError) as caught:
        strict.responses.create(model="echo", input=[{**RESULT, "call_id": "x"}], previous_response_id=first.id)  # type: ignore[list-item]  # the client's types want dicts of their own
    assert caught.value.param == "input[0].call_id"


def test_the_tokens_of_a_prompt_are_those_that_are_read(strict: OpenAI) -> None:
    tool: Any = {"type": "function", "name": "look", "parameters": None, "strict": False}
    first = strict.responses.create(model="echo", input="one two three", instructions="Be brief.")
    for more in (
        {"input": "four"},
        {"input": "four", "previous_response_id": first.id},
        {"input": "four", "instructions": "Be brief.", "tools": [tool]},
    ):
        counted = strict.responses.input_tokens.count(model="echo", **more)
        answer = strict.responses.create(model="echo", **more)
        assert answer.usage
        assert (counted.object, counted.input_tokens) == ("response.input_tokens", answer.usage.input_tokens)


@pytest.mark.parametrize(
    ("given", "param", "code", "status"),
    [
        ({"previous_response_id": "resp_0"}, "previous_response_id", "previous_response_not_found", 400),
        ({"conversation": "conv_0"}, "conversation", "not_stored", 404),
        ({"input": [{"id": "rs_0"}]}, "input[0].id", "not_stored", 404),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-0"}]}]},
            "input[0].content",
            "not_stored",
            404,
        ),
    ],
)
@pytest.mark.parametrize("path", [RESPONSES, f"{RESPONSES}/input_tokens"])
def test_what_is_not_there_is_named(
    http: httpx.Client, given: dict[str, Any], param: str, code: str, status: int, path: str
) -> None:
    answer = http.post(path, json={"model": "echo", "input": "Hi", **given})
    told = problem(answer, status)
    assert (told["param"], told["code"]) == (param, code)


def test_what_a_list_is_asked_for_is_checked(http: httpx.Client, strict: OpenAI) -> None:
    made = strict.responses.create(model="echo", input="Hi")
    for query, param in (
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("order=up", "order"),
        ("include[]=all", "include"),
    ):
        answer = http.get(f"{RESPONSES}/{made.id}/input_items?{query}")
        assert problem(answer, 400)["param"] == param
    for path in ("resp_0/input_items", f"{made.id}/input_items?after=x"):
        assert http.get(f"{RESPONSES}/{path}").status_code == 404
    assert http.get(f"{RESPONSES}/{made.id}/input_items?include[]=reasoning.encrypted_content").status_code == 200


def test_nobody_goes_on_with_what_is_anothers_or_has_not_ended(guarded: Stack) -> None:
    alice, bob = (guarded.client(api_key=KEYS[name]) for name in ("alice", "bob"))
    first = alice.responses.create(model="echo", input="mine")
    conversation = alice.conversations.create()
    for more in (
        {"previous_response_id": first.id},
        {"conversation": conversation.id},
        {"input": [{"id": first.output[0].id}]},
    ):
        alice.responses.create(model="echo", **{"input": "Hi", **more})  # type: ignore[call-overload]  # the client's types want dicts of their own
        with pytest.raises((BadRequestError, NotFoundError)):
            bob.responses.create(model="echo", **{"input": "Hi", **more})  # type: ignore[call-overload]  # the client's types want dicts of their own
    with pytest.raises(NotFoundError):
        bob.responses.input_items.list(first.id)
    running = alice.responses.create(model="echo", input="a b c d e " * 40, background=True)
    assert listed(alice, running.id) == ["a b c d e " * 40], "also while it runs"
    with pytest.raises(BadRequestError, match="has not ended"):
        alice.responses.create(model="echo", input="Hi", previous_response_id=running.id)
    alice.responses.cancel(running.id)
    with pytest.raises(BadRequestError, match="it is cancelled"):
        alice.responses.create(model="echo", input="Hi", previous_response_id=running.id)


def test_what_is_looked_up_is_bounded_as_a_body_is(guarded: Stack) -> None:
    alice = guarded.client(api_key=KEYS["alice"])
    given: Any = [{"role": "user", "content": "a" * 4000}, _user("Hi")]
    first = alice.responses.create(model="echo", input=given)
    second = alice.responses.create(model="echo", input=given, previous_response_id=first.id)
    with pytest.raises(BadRequestError, match="more than 8192 bytes") as caught:
        alice.responses.create(model="echo", input="Hi", previous_response_id=second.id)
    assert caught.value.param == "previous_response_id"
    last: Any = {"id": second.output[0].id}
    assert alice.responses.create(model="echo", input=[last, *given[1:]]).output_text == "Hi", (
        "only what is named counts"
    )


def test_a_file_is_read_by_its_id(strict: OpenAI) -> None:
    text, sound = (
        strict.files.create(file=(name, content), purpose="user_data").id
        for name, content in (("text.txt", b"all of it"), ("sound.wav", b"\xff\x00"))
    )
    parts: Any = [{"type": "input_file", "file_id": text}, {"type": "input_text", "text": "Read!"}]
    answer = strict.responses.create(model="echo", input=[{"role": "user", "content": parts}])
    assert answer.output_text == "text.txt\nall of it\nRead!"
    again = strict.responses.create(model="echo", input=[], previous_response_id=answer.id)
    assert again.output_text == answer.output_text
    parts = [{"type": "input_file", "file_id": sound}]
    with pytest.raises(BadRequestError, match="no text") as caught:
        strict.responses.create(model="echo", input=[{"role": "user", "content": parts}])
    assert caught.value.param == "file_id"
    strict.files.delete(text)
    with pytest.raises(NotFoundError) as gone:
        strict.responses.create(model="echo", input=[], previous_response_id=answer.id)
    assert gone.value.param == "previous_response_id"


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}
