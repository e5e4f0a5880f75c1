"""Batches beside others: their owners' bounds, live chats, and keys that go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI

from gateway.batches.feeder import MOST_FED
from tests.batches import begin, counts, end, request
from tests.calls import said
from tests.stack import Stack, running, wait_for


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Keys that may go, and a worker of four slots on which a line takes a fifth of a second."""
    folder = tmp_path_factory.mktemp("shares")
    keys = folder / "keys"
    keys.write_text("ann:key-of-ann-0123456789 max_jobs=6\nbob:key-of-bob-0123456789\n")
    with running(folder, api_keys=f"@{keys}") as stack:
        stack.start_gateway(processes=1)
        stack.start_worker(slots=4, echo_rate=20)
        yield stack


def of(stack: Stack, name: str) -> OpenAI:
    return stack.client(api_key=f"key-of-{name}-0123456789")


def lines(number: int, **more: Any) -> list[dict[str, Any]]:
    return [request(f"r{n}", "one two three four", **more) for n in range(number)]


def test_a_batch_leaves_room_for_its_owner_and_goes_after_live_chats(stack: Stack) -> None:
    ann = of(stack, "ann")
    batch_id = begin(ann, lines(400))  # of half a minute
    wait_for(lambda: stack.redis.scard("iq:owned:ann") == 3, "the lines' jobs")
    before = counts(ann.batches.retrieve(batch_id))[1]
    for _ in range(3):
        assert int(stack.redis.scard("iq:owned:ann")) <= 3
        ann.chat.completions.create(model="echo", messages=said("one two three four"))
    assert counts(ann.batches.retrieve(batch_id))[1] - before < 200
    ann.batches.cancel(batch_id)
    assert end(ann, batch_id).status == "cancelled"


def test_as_many_lines_wait_as_run(stack: Stack) -> None:
    bob = of(stack, "bob")
    batch_id = begin(bob, [request(f"r{n}", "word " * 400) for n in range(40)])
    wait_for(lambda: stack.redis.zcard("iq:leases:echo") == 4, "a line in every slot")
    wait_for(lambda: stack.redis.zcard("iq:waiting:echo") >= 4, "successors of lines that end at one time", 10)
    bob.batches.cancel(batch_id)
    assert end(bob, batch_id).status == "cancelled"


def test_one_without_a_worker_holds_up_no_other(stack: Stack) -> None:
    bob, ann = of(stack, "bob"), of(stack, "ann")
    stuck = [begin(bob, lines(2, model="nobody yet")) for _ in range(3)]
    others = [begin(who, lines(6)) for who in (bob, ann)]
    assert [end(who, batch_id).status for who, batch_id in zip((bob, ann), others, strict=True)] == ["completed"] * 2
    for batch_id in stuck:
        assert counts(bob.batches.retrieve(batch_id)) == (2, 0, 0)
        bob.batches.cancel(batch_id)
    assert {end(bob, batch_id).status for batch_id in stuck} == {"cancelled"}


def test_who_has_many_leaves_a_place_to_who_has_few(stack: Stack) -> None:
    bob, ann = of(stack, "bob"), of(stack, "ann")
    many = [begin(bob, lines(300)) for _ in range(MOST_FED + 1)]
    wait_for(lambda: len([*stack.redis.scan_iter("iq:batch:*", count=1000)]) == MOST_FED, "batches in every place")
    assert end(ann, begin(ann, lines(2))).status == "completed"
    for batch_id in many:
        assert bob.batches.cancel(batch_id).status == "cancelling"
    assert {end(bob, batch_id).status for batch_id in many} == {"cancelled"}
