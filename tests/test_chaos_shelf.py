"""The judge of chaos on what is stored: what may be missing or told anew, and for which fault."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.archive.thing import ThingKind
from tests.calls import CHATS
from tests.chaos.faults import Fault
from tests.chaos.judgement import Fate
from tests.chaos.plan import Kind, Request
from tests.chaos.stored import Shelf, Stored

ASKED = Request(7, Kind.STREAM, CHATS, {}, "7.0; 7.1; 7.2; 7.3;", "", None)


def test_a_conversation_may_lack_what_redis_has_forgotten_and_nothing_else() -> None:
    client: Any = SimpleNamespace(request=ASKED, name="7", kept=[], story=[(0.0, "asks")], asked_twice=False)
    said = [(role, f"7.{turn};") for turn in range(3) for role in ("user", "assistant")]
    for turn in range(3):
        client.kept.append(Stored(ASKED, f"/v1/responses/{turn}", turn, {"id": str(turn)}, answered=turn + 0.5))
    items = Stored(ASKED, "/v1/conversations/c/items", 0, said, answered=3)
    client.kept.insert(2, items)
    data = [{"role": role, "content": text} for role, text in said]
    for outage, left, wrong in (
        ((2.2, 3.0), data[:4], 0),
        ((2.2, 3.0), data, 0),
        ((2.2, 3.0), data[:2], 1),
        ((1.2, 1.6), data[:4], 1),
        ((9.0, 9.9), data[:4], 1),
    ):
        shelf = Shelf()
        shelf.note(client, items, (200, b"", {"data": left}), [outage], {True: [], False: [outage]})
        assert len(shelf.wrong) == wrong, (outage, left)


def test_an_answer_may_be_gone_that_was_told_in_the_second_that_redis_has_forgotten() -> None:
    """It is stored just after that, on the disk: what was told before is there, and so is a file."""
    client: Any = SimpleNamespace(name="7", request=ASKED, story=[(0.0, "asks")])
    fault = Fault("valkey a second back", at=1.5, hit=0)
    for path, told, answered, wrong in (
        ("/v1/responses/r", {"id": "r", "completed_at": 1}, 5.0, 0),
        ("/v1/responses/r", {"id": "r", "completed_at": 1}, 3.9, 1),
        ("/v1/responses/r", {"id": "r", "completed_at": 1}, 7.0, 1),
        ("/v1/files/f/content", b"x", 5.0, 1),
    ):
        shelf = Shelf(faults=[fault])
        stored = Stored(ASKED, path, 1.0, told, answered=answered)
        shelf.note(client, stored, (404, b"", {}), [(4.0, 5.1)], {True: [], False: []})
        assert len(shelf.wrong) == wrong, (path, answered)
        assert all("+1.50 -- valkey a second back" in each for each in shelf.wrong)


def test_an_end_that_a_kill_of_redis_has_lost_may_come_once_more() -> None:
    client: Any = SimpleNamespace(name="7", request=ASKED, story=[(0.0, "asks")], asked_twice=False)
    stored = Stored(ASKED, "/v1/responses/r", 1.0, {"id": "r", "text": "x", "completed_at": 4}, answered=2.0)
    for kind, at, text, wrong in (
        ("SIGKILL valkey", 2.2, "x", 0),
        ("SIGKILL valkey", 2.2, "y", 1),
        ("SIGKILL valkey", 9.0, "x", 1),
        ("SIGKILL worker", 2.2, "x", 1),
    ):
        shelf = Shelf(faults=[Fault(kind, at, 1, until=at + 0.4)])
        answer = 200, b"", {"id": "r", "text": text, "completed_at": 5}
        shelf.note(client, stored, answer, [], {True: [], False: []})
        assert (len(shelf.wrong), shelf.ended_anew) == (wrong, 1 - wrong), (kind, at, text)


@pytest.mark.parametrize(("times", "wrong"), [(2, 0), (3, 1)])
def test_what_is_asked_again_is_stored_again(times: int, wrong: int) -> None:
    facts = {"status": "completed", "metadata": {"number": "7"}}
    things = [SimpleNamespace(kind=ThingKind.RESPONSE, id=str(each), facts=facts) for each in range(times)]
    archive: Any = SimpleNamespace(index=SimpleNamespace(walk=lambda: things))
    clients: Any = [
        SimpleNamespace(
            name="7", request=ASKED, fate=Fate.ANSWERED, asked_twice=False, story=[(0.0, "asks")], kept=[stored]
        )
        for stored in (Stored(ASKED, f"/v1/responses/{each}", 1.0, {"id": each}, answered=2.0) for each in range(2))
    ]
    shelf = Shelf()
    shelf.count(archive, clients, [])
    assert len(shelf.wrong) == wrong
