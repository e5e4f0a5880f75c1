"""What responses add to conversations: all of it once, in a row, and before anybody can miss it."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from openai import NotFoundError, OpenAI
from openai.types.responses import Response

from tests.stack import API_KEYS, KEYS, Process, Stack, children, free_port, wait_for

TURNS = 20


class Pair(Stack):
    """Two gateways, each of one process, and two keys."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, api_keys=API_KEYS, gateway_processes=1, lease=2)
        self.ports = (self.port, free_port())
        self.gateways: list[Process] = []

    def begin(self) -> None:
        self.gateways = [self.start_one(port) for port in self.ports]
        self.start_worker(echo_rate=200)

    def kill_first(self) -> None:
        """The process of the first gateway."""
        [pid] = children(self.gateways[0])
        os.kill(pid, signal.SIGKILL)

    def wait_for_first(self) -> None:
        """It has another one."""
        wait_for(lambda: _lives(f"http://{self.host}:{self.ports[0]}/healthz"), "another process", 60)

    def end(self) -> None:
        """Every process is killed."""
        family = [pid for gateway in self.gateways for pid in children(gateway)]
        for child in (*self.gateways, self.worker, self.valkey):
            child.kill()
            child.wait()
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        self.start_valkey()

    def start_one(self, port: int) -> Process:
        gateway = self._inferq("gateway", port=port)
        wait_for(lambda: _lives(f"http://{self.host}:{port}/healthz"), "the gateway's answer", 60)
        return gateway

    def at(self, port: int, key: str = KEYS["alice"]) -> OpenAI:
        return OpenAI(base_url=f"http://{self.host}:{port}/v1", api_key=key, max_retries=0, timeout=60)

    def unarchived(self, response_id: str) -> bool:
        return self.redis.zscore("iq:unarchived", response_id) is not None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nothing can be stored meanwhile."""
        with closing(sqlite3.connect(self.directory / "archive/index.db", isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            yield
            db.execute("ROLLBACK")


def _lives(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with closing(Pair(tmp_path_factory.mktemp("turns"))) as stack:
        stack.begin()
        yield stack


@pytest.fixture
def clients(stack: Pair) -> Iterator[tuple[OpenAI, OpenAI]]:
    with stack.at(stack.ports[0]) as one, stack.at(stack.ports[1]) as other:
        yield one, other


def asked(conversation: str, text: str, **more: Any) -> dict[str, Any]:
    return {"model": "echo", "input": text, "conversation": conversation, **more}


def streamed(client: OpenAI, request: dict[str, Any]) -> Response:
    *_, last = client.responses.create(**request, stream=True)
    assert last.type == "response.completed"
    response: Response = last.response
    return response


def texts(client: OpenAI, conversation: str) -> list[str]:
    listed: Any = client.conversations.items.list(conversation, order="asc", limit=100)
    return [item.content[0].text for item in listed]


def test_each_turn_knows_those_before_it(stack: Pair, clients: tuple[OpenAI, OpenAI]) -> None:
    """As fast as they go, each at another gateway than the one before."""
    conversation = clients[0].conversations.create(items=[{"role": "developer", "content": "Begin"}]).id
    responses = list[Response]()
    for turn in range(TURNS):
        client, request = clients[turn % 2], asked(conversation, f"turn {turn}")
        responses.append(streamed(client, request) if turn % 3 else client.responses.create(**request))
    said = [text for turn in range(TURNS) for text in (f"turn {turn}", f"turn {turn}")]
    assert [response.output_text for response in responses] == said[::2]
    assert texts(clients[0], conversation) == texts(clients[1], conversation) == ["Begin", *said]
    items = [item.to_dict() for item in clients[0].conversations.items.list(conversation, order="asc", limit=100)]
    for turn, response in enumerate(responses):
        assert response.conversation
        assert response.conversation.id == conversation
        given = clients[1].responses.input_items.list(response.id, order="asc", limit=100)
        assert [item.to_dict() for item in given] == items[: 2 + 2 * turn]
        assert response.output[0].id == items[2 + 2 * turn]["id"]


def test_two_at_once_add_both_one_after_the_other(clients: tuple[OpenAI, OpenAI], pool: ThreadPoolExecutor) -> None:
    conversation = clients[0].conversations.create().id
    questions = [" ".join(["left"] * 20), " ".join(["right"] * 20)]
    requests = [asked(conversation, question) for question in questions]
    ask = [pool.submit(streamed, *each) for each in zip(clients, requests, strict=True)]
    assert [each.result().output_text for each in ask] == questions
    found = texts(clients[0], conversation)
    assert found in ([q for q in questions for _ in "12"], [q for q in reversed(questions) for _ in "12"])


def test_only_what_ends_well_adds_something(stack: Pair, clients: tuple[OpenAI, OpenAI]) -> None:
    client, other = clients
    conversation = client.conversations.create().id
    endless = client.responses.create(**asked(conversation, "on and " * 1000), background=True)
    wait_for(lambda: stack.state(endless.id) == "in_progress", "the start")
    assert other.responses.cancel(endless.id).status == "cancelled"
    assert texts(client, conversation) == []
    short = client.responses.create(**asked(conversation, "one two three", max_output_tokens=1))
    assert short.status == "incomplete"
    assert texts(other, conversation) == ["one two three", "one"]


def test_the_answer_of_a_gateway_that_died_before_it_was_stored(stack: Pair, clients: tuple[OpenAI, OpenAI]) -> None:
    conversation = clients[0].conversations.create().id
    with stack.locked():
        first = streamed(clients[0], asked(conversation, "first"))
        assert stack.unarchived(first.id)
        stack.kill_first()
    second = clients[1].responses.create(**asked(conversation, "second"))
    given = clients[1].responses.input_items.list(second.id, order="asc")
    assert [item.to_dict()["content"][0]["text"] for item in given] == ["first", "first", "second"]  # type: ignore[index]  # values of `to_dict` are objects
    assert texts(clients[1], conversation) == ["first", "first", "second", "second"]
    stack.wait_for_first()


def test_removing_a_response_takes_nothing_from_its_conversation(
    stack: Pair, clients: tuple[OpenAI, OpenAI], pool: ThreadPoolExecutor
) -> None:
    """Also where it has ended, and the process that has told so died before it was stored."""
    conversation = clients[0].conversations.create().id
    with stack.locked():
        first = clients[0].responses.create(**asked(conversation, "first"))
        assert stack.unarchived(first.id)
        stack.kill_first()
        gone = pool.submit(clients[1].responses.delete, first.id)
        with pytest.raises(TimeoutError):
            gone.result(0.3)
    gone.result()
    with pytest.raises(NotFoundError):
        clients[1].responses.retrieve(first.id)
    assert texts(clients[1], conversation) == ["first", "first"]
    stack.wait_for_first()


def test_removing_a_conversation_leaves_its_responses(stack: Pair, clients: tuple[OpenAI, OpenAI]) -> None:
    conversation = clients[0].conversations.create().id
    running = clients[0].responses.create(**asked(conversation, "on " * 50), background=True)
    clients[1].conversations.delete(conversation)
    done = ("completed",)
    wait_for(lambda: clients[1].responses.retrieve(running.id).status in done, "the end")
    wait_for(lambda: not stack.unarchived(running.id), "that it is stored")
    assert clients[0].responses.retrieve(running.id).output_text == "on " * 50
    for ask in (clients[0].conversations.retrieve, clients[0].conversations.items.list):
        with pytest.raises(NotFoundError):
            ask(conversation)


def test_to_another_key_it_does_not_exist(stack: Pair, clients: tuple[OpenAI, OpenAI]) -> None:
    conversation = clients[0].conversations.create(items=[{"role": "user", "content": "mine"}]).id
    item = clients[0].conversations.items.list(conversation).data[0].id
    assert item
    with stack.at(stack.ports[1], KEYS["bob"]) as bob:
        for ask in (
            lambda known: bob.conversations.retrieve(known),
            lambda known: bob.conversations.update(known, metadata={}),
            lambda known: bob.conversations.delete(known),
            lambda known: bob.conversations.items.list(known),
            lambda known: bob.conversations.items.create(known, items=[{"role": "user", "content": "x"}]),
            lambda known: bob.conversations.items.retrieve(item, conversation_id=known),
            lambda known: bob.conversations.items.delete(item, conversation_id=known),
            lambda known: bob.responses.create(**asked(known, "x")),
        ):
            said = []
            for known in (conversation, f"conv_{'0' * 32}"):
                with pytest.raises(NotFoundError) as caught:
                    ask(known)
                said.append(caught.value.message.replace(known, "ID").replace(item, "ID"))
            assert said[0] == said[1]
        mine = bob.conversations.create(items=[{"role": "user", "content": "his"}]).id
        with pytest.raises(NotFoundError):
            bob.conversations.items.retrieve(item, conversation_id=mine)
    assert texts(clients[0], conversation) == ["mine"]


def test_it_outlives_all_processes(stack: Pair, clients: tuple[OpenAI, OpenAI]) -> None:
    conversation = clients[0].conversations.create(metadata={"topic": "deaths"}).id
    clients[0].responses.create(**asked(conversation, "before"))
    stack.end()
    stack.begin()
    assert clients[1].conversations.retrieve(conversation).metadata == {"topic": "deaths"}
    assert texts(clients[1], conversation) == ["before", "before"]
    after = clients[0].responses.create(**asked(conversation, "after"))
    assert len(list(clients[0].responses.input_items.list(after.id))) == 3
    assert texts(clients[1], conversation) == ["before", "before", "after", "after"]
