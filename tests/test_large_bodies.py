"""Bodies that are large, and bodies that make much of few bytes: nobody else waits for them."""

from __future__ import annotations

import gc
import json
import socket
import tracemalloc
import weakref
from collections.abc import Iterator
from contextlib import suppress

import gevent
import httpx2 as httpx
import pytest

from gateway import bodies
from gateway.schemas.body import MOST_MEMBERS, MOST_VALUES, load_json
from shared.config import Config
from shared.errors import InvalidRequest
from tests.calls import CHATS, COMPLETIONS, chat, completion, data, problem
from tests.parsing import CHAT, refused
from tests.stack import Stack, running

LARGE = 34_000_000
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {"max_body": LARGE + 1000, "max_tokens": 9, "default_max_tokens": 3, "max_choices": 4}
    with running(tmp_path_factory.mktemp("bodies"), **settings) as stack:
        stack.start_gateway(processes=1)
        stack.start_worker()
        yield stack


# --- what a body may be made of

FLOODS = {
    "arrays": b"[" + b"[]," * MOST_MEMBERS + b"1]",
    "objects": b"[" + b"{}," * MOST_MEMBERS + b"1]",
    "keys": b"{" + b",".join(b'"%d":1' % number for number in range(MOST_MEMBERS + 1)) + b"}",
    "values": b"[" + b"1," * MOST_VALUES + b"1]",
    "strings": b"[" + b'"\\"",' * MOST_VALUES + b"1]",
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_is_refused_before_anything_is_made_of_it(flood: str) -> None:
    with pytest.raises(InvalidRequest, match="The request body has more than") as caught:
        load_json(FLOODS[flood])
    assert caught.value.code == "invalid_value"


@pytest.mark.parametrize("shift", range(8))
@pytest.mark.parametrize("text", ['[{,:"', '\\"[', '\\\\"', "\\", '"\\\\\\"['])
def test_what_stands_in_strings_does_not_count(text: str, shift: int) -> None:
    """Wherever the slices end that are counted at once."""
    said = "x" * shift + text * 300_000
    assert load_json(json.dumps([said, 1]).encode()) == [said, 1]


def test_as_much_as_is_allowed_is_read() -> None:
    assert load_json(b"[" + b"1," * (MOST_VALUES - 1) + b"1]") == [1] * MOST_VALUES
    assert load_json(b"[" + b"[]," * (MOST_MEMBERS - 2) + b"[]]") == [[]] * (MOST_MEMBERS - 1)


def test_the_service_refuses_it_too(stack: Stack) -> None:
    body = b'{"model": "echo", "messages": [' + b"[]," * 1_400_000 + b"1]}"
    assert "100000 arrays" in problem(stack.http().post(CHATS, content=body, headers=JSON), 400)["message"]


def test_a_refusal_shows_a_little_of_what_was_sent_and_makes_nothing_of_the_rest() -> None:
    body = {"model": "m", "messages": [{"role": "\0" * 5_000_000, "content": ""}]}
    tracemalloc.start()
    try:
        param, code = refused(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (param, code) == ("messages[0].role", "invalid_value")
    assert peak < 15_000_000  # it is looked at whether it can be encoded; as JSON it would be 30 MB


# --- where it is worked on


def test_others_have_their_turn_while_a_large_body_is_understood() -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}] * 2048}).encode()
    turns = 0

    def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            gevent.sleep(0.001)

    others = gevent.spawn(turn)
    gevent.sleep(0)
    taken = {}
    for size in (100, len(body)):
        begin = turns
        task, _ = bodies.apart("", size, lambda: CHAT.parse(load_json(body), 7, Config()))
        assert len(task.messages) == 2048
        taken[size] = turns - begin
    others.kill()
    assert taken[100] == 0  # as a small one: nobody had
    assert taken[len(body)] >= 3


def test_a_flood_of_one_owner_keeps_another_waiting_for_one_of_his() -> None:
    done: list[str] = []

    def work(owner: str) -> None:
        bodies.apart(owner, 1_000_000, lambda: done.append(owner))

    gevent.joinall([gevent.spawn(work, owner) for owner in ("flood",) * 9 + ("other",)], raise_error=True)
    assert len(done) == 10
    assert done.index("other") <= 2


def test_a_refusal_leaves_nothing_behind_that_only_a_full_collection_finds() -> None:
    class Work:
        def __call__(self) -> None:
            raise InvalidRequest("no")

    work = Work()
    kept = weakref.ref(work)
    gc.disable()
    try:
        with suppress(InvalidRequest):
            bodies.apart("", 1_000_000, work)
        del work
        bodies.apart("", 1_000_000, int)  # the thread forgets its last work with the next
        assert kept() is None
    finally:
        gc.enable()


# --- how many at once


def large() -> bytes:
    return json.dumps(chat("Hello")).encode() + b" " * (LARGE - 100)


def test_large_bodies_at_one_time_have_a_bound_and_small_ones_a_place(stack: Stack) -> None:
    http = stack.http()
    head = f"POST {CHATS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {LARGE}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=20) as slow:
        slow.sendall(head.encode() + large()[: LARGE - 100_000])
        refused = http.post(CHATS, content=large(), headers=JSON)
        error = problem(refused, 503)
        assert (error["code"], refused.headers["Retry-After"]) == ("gateway_busy", "1")
        assert http.post(CHATS, json=chat("Hello")).status_code == 200
    for _ in range(2):  # and what was held is given back
        assert served(http) == 200


def served(http: httpx.Client) -> int:
    """The status of a large request, once the gateway has seen that others have left."""
    for _ in range(100):
        answer = http.post(CHATS, content=large(), headers=JSON)
        if answer.status_code != 503:
            break
    return answer.status_code


def test_the_bound_of_a_body_follows_the_largest_context() -> None:
    follows = Config()
    assert follows.largest_body(0) == follows.largest_body(16_384) == 1_048_576
    assert follows.largest_body(131_072) == 8_388_608
    assert follows.largest_body(10_000_000) == follows.largest_body() == 67_108_864
    assert Config(max_body=5000).largest_body(131_072) == Config(max_body=5000).largest_body() == 5000


# --- what is asked for


def test_a_chat_that_asks_for_no_number_gets_the_usual_one(stack: Stack) -> None:
    http = stack.http()
    [choice] = http.post(CHATS, json=chat("a b c d e")).json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("a b c", "length")
    with http.stream("POST", CHATS, json=chat("a b c d e", stream=True)) as answer:
        *_, last, _ = data(answer.iter_lines())
    assert last["choices"][0]["finish_reason"] == "length"
    assert http.get("/api/chat", params={"prompt": "a b c d e"}).text == "a b c"
    [choice] = http.post(CHATS, json=chat("a b c d e", max_tokens=9)).json()["choices"]
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (CHATS, chat("a", max_tokens=10), "max_tokens"),
        (CHATS, chat("a", max_completion_tokens=10), "max_completion_tokens"),
        (COMPLETIONS, completion("a", max_tokens=10), "max_tokens"),
        (CHATS, chat("a", n=5), "n"),
        (COMPLETIONS, {"model": "echo", "prompt": ["a"] * 5}, "prompt"),
        (COMPLETIONS, {"model": "echo", "prompt": ["a", "b"], "n": 3}, "n"),
        (COMPLETIONS, {"model": "echo", "prompt": ["a", "b"], "best_of": 3}, "best_of"),
    ],
)
def test_beyond_a_cap_the_parameter_and_the_setting_are_named(
    stack: Stack, path: str, body: dict[str, object], param: str
) -> None:
    error = problem(stack.http().post(path, json=body), 400)
    assert error["param"] == param
    assert "INFERQ_MAX_TOKENS" in error["message"] or "INFERQ_MAX_CHOICES" in error["message"]


def test_as_many_as_the_cap_are_computed(stack: Stack) -> None:
    answer = stack.http().post(COMPLETIONS, json={"model": "echo", "prompt": ["a", "b"], "n": 2})
    assert [choice["text"] for choice in answer.json()["choices"]] == ["a", "a", "b", "b"]
