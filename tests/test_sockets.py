"""Responses over a WebSocket, by the unmodified `openai` client and by one that knows nothing but the protocol."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.connection import Connection

from gateway import socket_memory
from gateway.socket_memory import SocketMemory
from tests.calls import ENDLESS
from tests.stack import Stack, running, wait_for

ENDS = ("response.completed", "response.incomplete", "response.failed", "error")


def address(stack: Stack) -> str:
    return stack.url.replace("http", "ws") + "/v1/responses"


@contextmanager
def opened(stack: Stack, **more: Any) -> Iterator[Connection]:
    with connect(address(stack), compression=None, max_size=None, **more) as there:
        yield there


def ask(there: Connection, text: Any, **more: Any) -> None:
    there.send(json.dumps({"type": "response.create", "model": "echo", "input": text, "store": False, **more}))


def heard(there: Connection) -> list[Any]:
    """What comes up to the end of a turn."""
    told = [json.loads(there.recv(30))]
    while told[-1]["type"] not in ENDS:
        told.append(json.loads(there.recv(30)))
    return told


def turn(there: Connection, text: Any, **more: Any) -> dict[str, Any]:
    """The response, or the error."""
    ask(there, text, **more)
    last: dict[str, Any] = heard(there)[-1]
    return last["response"] if "response" in last else last["error"]  # type: ignore[no-any-return]  # it is JSON


def said(response: dict[str, Any]) -> str:
    return "".join(part["text"] for item in response["output"] for part in item["content"])


def test_the_unmodified_client(echo: Stack) -> None:
    with echo.client().responses.connect() as there:
        for text in ("Hello there", "Again"):
            there.response.create(model="echo", input=text, store=False)
            events: list[Any] = []
            for event in there:
                events.append(event)
                if event.type in ENDS:
                    break
            assert events[0].type == "response.created"
            assert [event.sequence_number for event in events] == list(range(len(events)))
            assert events[-1].response.output_text == text
        there.response.create(model="nobody", input="Hello")
        error: Any = there.recv()
        assert (error.type, error.status, error.error.code) == ("error", 404, "model_not_found")
        assert error.error.param == "model"


def test_going_on_with_what_is_not_stored(echo: Stack) -> None:
    with opened(echo) as there, opened(echo) as other:
        first = turn(there, [{"role": "user", "content": "one"}])
        items = {"role": "user", "content": "two"}
        second = turn(there, [items], previous_response_id=first["id"])
        assert (said(second), second["previous_response_id"]) == ("two", first["id"])
        more = second["usage"]["input_tokens"] - first["usage"]["input_tokens"]
        assert more > 0  # it has read what was before
        # Only on this socket, and only the last one.
        for place, before in ((other, second), (there, first)):
            missing = turn(place, "three", previous_response_id=before["id"])
            assert (missing["code"], missing["param"]) == ("previous_response_not_found", "previous_response_id")
        assert said(turn(there, "three", previous_response_id=second["id"])) == "three"


def test_a_turn_that_fails_takes_what_it_went_on_with_along(echo: Stack) -> None:
    with opened(echo) as there:
        first = turn(there, "one")
        assert turn(there, "two", temperature="x")["param"] == "temperature"  # went on with nothing
        assert said(turn(there, "two", previous_response_id=first["id"])) == "two"
        again = turn(there, "one")
        assert turn(there, "two", previous_response_id=again["id"], temperature="x")["code"]
        assert turn(there, "two", previous_response_id=again["id"])["code"] == "previous_response_not_found"
        assert said(turn(there, "whole again")) == "whole again"


def test_what_is_stored_is_found_from_anywhere(echo: Stack) -> None:
    with opened(echo) as there:
        first = turn(there, "one", store=True)
    assert echo.client().responses.retrieve(first["id"]).to_dict() == first
    with opened(echo) as there:
        assert said(turn(there, "two", previous_response_id=first["id"])) == "two"


def test_one_after_the_other(echo: Stack) -> None:
    with opened(echo) as there:
        for text in ("one", "two", "three"):
            ask(there, text)
        assert [said(heard(there)[-1]["response"]) for _ in range(3)] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("{", None),
        ("[]", None),
        ("{}", "type"),
        ('{"type": "response.cancel"}', "type"),
        ('{"type": "response.create", "model": "echo", "input": "x", "background": true}', "background"),
        ('{"type": "response.create", "model": "echo", "input": "x", "generate": false}', "generate"),
        ('{"type": "response.create", "model": "echo", "input": "x", "stream_id": "a"}', "stream_id"),
    ],
)
def test_messages_that_are_wrong(echo: Stack, message: str, param: str | None) -> None:
    with opened(echo) as there:
        there.send(message)
        [error] = heard(there)
        assert (error["type"], error["status"], error["error"]["param"]) == ("error", 400, param)
        assert said(turn(there, "Hello")) == "Hello"


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A word takes a hundredth of a second, and a client may keep us waiting for one."""
    with running(
        tmp_path_factory.mktemp("sockets"), client_timeout=1, max_body=100_000, api_keys="ann:key-of-ann"
    ) as stack:
        stack.start_gateway()
        stack.start_worker(echo_rate=100)
        yield stack


KEY = {"additional_headers": {"Authorization": "Bearer key-of-ann"}}


@pytest.mark.parametrize("politely", [True, False])
def test_a_client_that_leaves_frees_its_slot(slow: Stack, politely: bool) -> None:
    with opened(slow, **KEY) as there:
        ask(there, ENDLESS)
        created = json.loads(there.recv(30))
        assert created["type"] == "response.created"
        assert there.ping().wait(30)  # while it is being answered
        if not politely:
            there.socket.shutdown(socket.SHUT_RDWR)
    wait_for(lambda: slow.state(created["response"]["id"]) == "cancelled", "the end of its job")


def frame(data: bytes, opcode: int = 1, *, end: bool = True, masked: bool = True, size: int | None = None) -> bytes:
    """One of a client's; `size` is what it says of itself."""
    length = len(data) if size is None else size
    head = bytes([opcode | 0x80 * end])
    if length < 126:
        head += bytes([length | 0x80 * masked])
    elif length < 65_536:
        head += bytes([126 | 0x80 * masked]) + struct.pack("!H", length)
    else:
        head += bytes([127 | 0x80 * masked]) + struct.pack("!Q", length)
    return head + (bytes(4) if masked else b"") + data


HANDSHAKE = {
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def shake_hands(stack: Stack, **headers: str) -> tuple[int, Any, socket.socket]:
    """The status, what follows, and the socket."""
    there = socket.create_connection((stack.host, stack.port), timeout=60)
    lines = [f"{name}: {value}" for name, value in {"Host": "localhost", **HANDSHAKE, **headers}.items() if value]
    there.sendall("\r\n".join(["GET /v1/responses HTTP/1.1", *lines, "", ""]).encode())
    stream = there.makefile("rb")
    status = int(stream.readline().split()[1])
    while stream.readline().strip():
        pass
    return status, stream, there


BEARER = {"Authorization": "Bearer key-of-ann"}
MANY = 40_000
HOSTILE = {
    "unmasked": (frame(b"{}", masked=False), 1002),
    "unknown": (frame(b"{}", 5), 1002),
    "continued": (frame(b"{}", 0), 1002),
    "compressed": (bytes([0xC1]) + frame(b"{}")[1:], 1002),
    "endless": (frame(b"", size=2**63), 1002),
    "large": (frame(b"x" * 65_000, size=2**40) + b"x" * 65_000, 1009),
    "parts": (frame(b"x" * 65_000, end=False) + frame(b"x" * 65_000, 0, end=False), 1009),
    "binary": (frame(b"{}", 2), 1003),
    "letters": (frame(b"\xff"), 1007),
    "nothing": (frame(b"", end=False) + frame(b"", 0, end=False) * MANY, 1008),
    "crumbs": (frame(b" ", end=False) + frame(b" ", 0, end=False) * MANY, 1008),
    "pings": (frame(b"", 9) * MANY, 1008),
    "half": (frame(b"x" * 10, size=20), 1008),
    "first byte": (b"\x81", 1008),
}


def last_frame(stream: Any) -> int:
    """The code of the one that closes the socket."""
    while (opcode := stream.read(1)[0] & 0x0F) != 8:
        assert opcode == 10, "nothing but answers to pings"
        stream.read(stream.read(1)[0])
    size = stream.read(1)[0]
    return int(struct.unpack("!H", stream.read(size)[:2])[0])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_frames(slow: Stack, name: str) -> None:
    sent, code = HOSTILE[name]
    status, stream, there = shake_hands(slow, **BEARER)
    assert status == 101
    with there, stream:
        there.settimeout(60)
        try:
            there.sendall(sent)
        except OSError:  # it is not read to its end
            assert len(sent) > 65_536
        assert last_frame(stream) == code
    with opened(slow, **KEY) as well:
        assert said(turn(well, "Hello")) == "Hello"


def test_frames_that_come_with_the_handshake_and_in_pieces(slow: Stack) -> None:
    message = json.dumps({"type": "response.create", "model": "echo", "input": "Hello", "store": False}).encode()
    early = frame(message[:5], end=False) + frame(b"", 9) + frame(message[5:20], 0, end=False)
    with socket.create_connection((slow.host, slow.port), timeout=60) as there, there.makefile("rb") as stream:
        lines = [f"{name}: {value}" for name, value in {"Host": "localhost", **HANDSHAKE, **BEARER}.items()]
        there.sendall("\r\n".join(["GET /v1/responses HTTP/1.1", *lines, "", ""]).encode() + early)
        while stream.readline().strip():
            pass
        assert stream.read(2) == b"\x8a\x00"
        there.sendall(frame(message[20:], 0))
        assert stream.read(1) == b"\x81"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Sec-WebSocket-Key": "short"}, 400),
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Upgrade": ""}, 405),
        ({"Connection": "close"}, 405),
    ],
)
def test_handshakes_that_are_refused(slow: Stack, headers: dict[str, str], status: int) -> None:
    found, stream, there = shake_hands(slow, **{**BEARER, **headers})
    with there, stream:
        assert found == status


def test_pages_of_others_get_no_socket(echo: Stack) -> None:
    for origin, status in (("https://elsewhere.example", 403), (echo.url, 101)):
        found, stream, there = shake_hands(echo, Origin=origin, Host=echo.url.removeprefix("http://"))
        with there, stream:
            assert found == status


def test_a_message_has_the_bounds_of_a_body(slow: Stack) -> None:
    with opened(slow, **KEY) as there:
        assert turn(there, "word " * 10, max_output_tokens=10**9)["param"] == "max_output_tokens"
        there.send("x" * 100_001)
        with pytest.raises(ConnectionClosed) as caught:
            there.recv(30)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


def test_only_so_much_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_memory, "MOST_REMEMBERED_BYTES", 100)
    monkeypatch.setattr(socket_memory, "MOST_KEY_REMEMBERED_BYTES", 60)
    ann, also_ann, bob = SocketMemory("ann"), SocketMemory("ann"), SocketMemory("bob")
    item = {"text": "x" * 30}
    for memory in (ann, also_ann, bob):
        memory.keep("resp_1", [item])
    assert [memory.recall("resp_1") for memory in (ann, also_ann, bob)] == [[item], None, [item]]
    assert ann.recall("resp_2") is None
    ann.keep("resp_2", [item])
    assert (ann.recall("resp_1"), ann.recall("resp_2")) == (None, [item])
    ann.forget()
    also_ann.keep("resp_3", [item])
    assert also_ann.recall("resp_3") == [item]
    for memory in (ann, also_ann, bob):
        memory.forget()
    assert not socket_memory._held


def test_a_gateway_that_stops_finishes_what_runs_and_says_so_to_the_others(slow: Stack) -> None:
    with opened(slow, **KEY) as idle, opened(slow, **KEY) as there:
        ask(there, "word " * 100)
        assert json.loads(there.recv(30))["type"] == "response.created"
        told: list[Any] = []
        slow.gateway.terminate()
        for each in (idle, there):
            with pytest.raises(ConnectionClosed) as caught:
                told.extend(map(json.loads, iter(partial(each.recv, 30), None)))
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1001
        assert said(told[-1]["response"]) == "word " * 100
