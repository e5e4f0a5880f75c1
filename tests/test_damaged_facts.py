"""What the index says of a thing may be damaged: that is told of this thing, and is in no other's way."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from openai import InternalServerError, OpenAI

from gateway.archive.thing import ThingKind
from gateway.conversation_items import place_of
from tests.batches import archive_of, begin, end, request
from tests.calls import said
from tests.stack import Stack, wait_for

DAMAGES = ("{}", "[]", '{"bytes')


class Listed(NamedTuple):
    """Things of a kind, the second of which is to be damaged, as the client tells them."""

    kind: ThingKind
    ids: list[str]
    place: str
    """The id of the second one in the index."""
    walk: Callable[[], Iterable[Any]]
    retrieve: Callable[[str], object]


def _files(client: OpenAI) -> Listed:
    ids = [client.files.create(file=("a.txt", b"x"), purpose="user_data").id for _ in range(3)]
    return Listed(ThingKind.FILE, ids, ids[1], client.files.list, client.files.retrieve)


def _chats(client: OpenAI) -> Listed:
    chats = client.chat.completions
    ids = [chats.create(model="echo", messages=said("Hi"), store=True).id for _ in range(3)]
    return Listed(ThingKind.CHAT, ids, ids[1], lambda: chats.list(order="desc"), chats.retrieve)


def _batches(client: OpenAI) -> Listed:
    ids = [end(client, begin(client, [request("a")])).id for _ in range(3)]
    return Listed(ThingKind.BATCH, ids, ids[1], client.batches.list, client.batches.retrieve)


def _items(client: OpenAI) -> Listed:
    conversation = client.conversations.create(
        items=[{"type": "message", "role": "user", "content": text} for text in "abc"]
    ).id
    items = client.conversations.items
    ids = [item.id for item in items.list(conversation, order="asc") if item.id]
    return Listed(
        ThingKind.ITEM,
        ids,
        place_of(conversation, ids[1]),
        lambda: items.list(conversation),
        lambda item: items.retrieve(item, conversation_id=conversation),
    )


@pytest.fixture
def damage(stack: Stack) -> Iterator[Callable[[ThingKind, str, str], None]]:
    """Has the index say something else of a thing, until the test ends: then it goes."""
    damaged = set[tuple[ThingKind, str]]()

    def spoil(kind: ThingKind, thing_id: str, facts: str) -> None:
        damaged.add((kind, thing_id))

        def said() -> bool:
            with closing(sqlite3.connect(Path(stack.settings["archive"]) / "index.db", timeout=30)) as db, db:
                return db.execute("UPDATE things SET facts = ? WHERE id = ?", (facts, thing_id)).rowcount == 1

        wait_for(said, "the thing's row")  # an answer is stored after it was told

    yield spoil
    for kind, thing_id in damaged:
        archive_of(stack).remove("", kind, thing_id)


@pytest.mark.parametrize("make", [_files, _chats, _batches, _items], ids=lambda make: make.__name__.strip("_"))
def test_a_damaged_thing_is_missing_in_its_list_and_hides_no_other(
    client: OpenAI, damage: Callable[[ThingKind, str, str], None], make: Callable[[OpenAI], Listed]
) -> None:
    listed = make(client)
    for facts in DAMAGES:
        damage(listed.kind, listed.place, facts)
        found = {each.id for _, each in zip(range(20), listed.walk(), strict=False)}
        assert found & {*listed.ids} == {*listed.ids} - {listed.ids[1]}
        with pytest.raises(InternalServerError) as caught:
            listed.retrieve(listed.ids[1])
        assert caught.value.code == "archive_damaged"
        assert caught.value.response.headers["x-should-retry"] == "false"


def test_a_damaged_batch_keeps_no_other_waiting(
    client: OpenAI, stack: Stack, damage: Callable[[ThingKind, str, str], None]
) -> None:
    before = _errors(stack)
    batch = begin(client, [request("a")])
    end(client, batch)
    archive_of(stack).change("", ThingKind.BATCH, batch, lambda facts: {"open": "yes"})  # by which it is found
    damage(ThingKind.BATCH, batch, '{"open":"yes"}')
    assert end(client, begin(client, [request("b")])).status == "completed"
    assert end(client, begin(client, [request("c")])).status == "completed"
    assert _errors(stack) == before, "it concerns this batch alone"


def _errors(stack: Stack) -> list[str]:
    """How often the loop has failed that feeds batches, as the metrics tell."""
    return re.findall(r'^inferq_loop_errors_total{loop="feeder"} (\S+)', stack.http().get("/metrics").text, re.M)
