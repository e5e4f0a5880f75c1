"""What clients know to be stored, and whether it is found in the end, as it was told."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.archive.archive import Archive
from gateway.archive.thing import ThingKind
from tests.calls import CHATS
from tests.chaos.forms import RESPONSES
from tests.chaos.judgement import Fate, difference
from tests.chaos.plan import Request
from tests.chaos.reading import Reading
from tests.chaos.story import tell
from tests.chaos.wire import Wire

if TYPE_CHECKING:
    from tests.chaos.clients import Client
    from tests.chaos.faults import Fault

Outages = Sequence[tuple[float, float]]
"""From when to when Redis has forgotten what was written."""
Forgotten = Mapping[bool, Outages]
"""Those by which files, and others, may be forgotten."""
_AT_ONCE = 8
_LATE = 0.5
"""Seconds after an end was told in which its client has read and judged it."""
_KILLS = ("SIGKILL valkey", "SIGKILL valkey in a load", "SIGKILL everything", "restart valkey at once")
_UNWRITTEN = 4.0
"""Seconds before such a kill of which an end may be lost: while an fsync is slow Valkey answers before it writes, and a
stream is told its end at once."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One thing."""

    request: Request
    """What it came of."""
    path: str
    """Where it is found."""
    asked: float
    """When it was asked for."""
    told: Any = None
    """What its client knows of it: the object, or the bytes, or who said what; None where that is the request's answer.
    """
    answered: float = field(default_factory=time.monotonic)

    def among(self, outages: Outages) -> bool:
        """Whether it may be among what was forgotten."""
        return any(begin < self.answered and self.asked < end for begin, end in outages)

    def is_gone(self, lost: Outages, forgotten: Forgotten) -> bool:
        """Whether nobody can be blamed that it is not there.

        An answer is stored as soon as its end is told, so one that was told in the second that Redis has `lost` need
        not be stored yet, wherever the index is.
        """
        answer = self.path.startswith((f"{RESPONSES}/", f"{CHATS}/"))
        just_told = answer and any(begin < self.answered < end + _LATE for begin, end in lost)
        return just_told or self.among(forgotten[isinstance(self.told, bytes)])


@dataclass(slots=True)
class Shelf:
    """What was found of it."""

    found: Counter[str] = field(default_factory=Counter)
    """By form, through all gateways together."""
    forgotten: int = 0
    """What Redis has forgotten with its last second: that has its index there, or could not be stored yet, for the
    archive was out of reach."""
    asked_twice: int = 0
    """What is stored twice, for its client has no key to be known by, and came again when a gateway had died."""
    ended_anew: int = 0
    """Responses and batches whose end Redis has lost, and that have ended once more, at another time."""
    wrong: list[str] = field(default_factory=list)
    waiting: int = 0
    """Answers that are not stored yet, although all have ended long ago."""
    faults: Sequence[Fault] = ()
    """What was done meanwhile."""

    async def look(self, port: int, clients: Sequence[Client], lost: Outages, forgotten: Forgotten) -> None:
        """Ask a gateway for all of it. Redis has `lost` jobs then; where the index is there, this was `forgotten`."""
        left = iter([(client, stored) for client in clients for stored in client.kept])

        async def one_after_the_other() -> None:
            for client, stored in left:
                self.note(client, stored, await _ask(client.wire.at(port), stored), lost, forgotten)

        await asyncio.gather(*(one_after_the_other() for _ in range(_AT_ONCE)))
        wires = {client.wire.key: client.wire.at(port) for client in clients}
        listed = sum([await _list_chats(wire) for wire in wires.values()], Counter[str]())
        for client in clients:
            for stored in client.kept:
                chat = stored.path.removeprefix(f"{CHATS}/")
                if chat != stored.path and listed[chat] != 1 and not stored.is_gone(lost, forgotten):
                    self._complain(client, f"its chat is listed {listed[chat]} times")

    def count(self, archive: Archive, clients: Iterable[Client], lost: Outages) -> None:
        """Look into the archive for what is stored twice, and for what batches leave."""
        ended = Counter[str]()
        for thing in archive.index.walk():
            if thing.kind is ThingKind.OUTCOMES:
                self.wrong.append(f"{thing.id} is left of a batch")
            if thing.kind in (ThingKind.RESPONSE, ThingKind.CHAT) and thing.facts.get("status") == "completed":
                ended[thing.facts["metadata"].get("number", "")] += 1
        asked: dict[str, list[Client]] = {}
        for client in clients:  # several where more had to be asked until enough was hurt
            asked.setdefault(client.name, []).append(client)
        for name, same in asked.items():
            kept = [stored for client in same for stored in client.kept]
            known = {stored.path for stored in kept if isinstance(stored.told, Mapping) or stored.told is None}
            again = ended[name] - len(known)
            if not known or again <= 0 or any(client.fate is not Fate.ANSWERED for client in same):
                continue
            if any(client.asked_twice for client in same):
                self.asked_twice += 1
            elif not any(stored.among(lost) for stored in kept):
                self._complain(same[0], f"stored {ended[name]} times, not {len(known)}")

    def note(
        self, client: Client, stored: Stored, answer: tuple[int, bytes, Any], lost: Outages, forgotten: Forgotten
    ) -> None:
        """What was answered where it is to be: the status, the body, and what it says."""
        status, blob, told = answer
        if status == 404 and stored.is_gone(lost, forgotten):
            self.forgotten += 1
            return
        wrong = f"{status} {blob[:300]!r}" if status != 200 else _differs(stored, blob, told)
        unwritten = [(each.at - _UNWRITTEN, each.until) for each in self.faults if each.kind in _KILLS]
        ended_anew = stored.among([*lost, *unwritten])
        if wrong and isinstance(stored.told, list) and status == 200 and (client.asked_twice or ended_anew):
            # Where Redis lost the end of an answer it comes after those that followed; what it forgot comes nowhere.
            answers = [each for each in client.kept if isinstance(each.told, Mapping)]
            known, turns = _turns(stored.told), list(dict.fromkeys(_turns(_said(told["data"]))))
            gone = {turn for turn, each in zip(known, answers, strict=False) if each.is_gone(lost, forgotten)}
            order = sorted if ended_anew else list
            left = [order(turn for turn in each if turn not in gone) for each in (turns, known)]
            wrong = "" if left[0] == left[1] else wrong
        again = isinstance(stored.told, bytes) and status == 200 and _names(blob) == _names(stored.told) != set()
        if wrong and again and stored.among(forgotten[True]):
            self.ended_anew += 1
            wrong = ""
        if wrong and isinstance(stored.told, Mapping) and isinstance(told, Mapping) and ended_anew:
            anew = {**told, "completed_at": stored.told["completed_at"]}
            if anew == stored.told:
                self.ended_anew += 1
                wrong = ""
        if wrong:
            self._complain(client, f"{stored.path}: {wrong}")
        else:
            self.found[stored.request.form] += 1

    def _complain(self, client: Client, wrong: str) -> None:
        story = "".join(f"\n  {line}" for line in tell(client.story, self.faults))
        self.wrong.append(f"request {client.name} ({client.request.form}, {client.request.kind}): {wrong}{story}")


def _names(results: bytes) -> set[str]:
    """Of the lines of a file, where it is one of a batch's results."""
    lines = results.splitlines() if results.startswith(b"{") else []
    return {json.loads(line)["custom_id"] for line in lines}


def _turns(said: Sequence[tuple[str, str]]) -> list[tuple[tuple[str, str], ...]]:
    """A question and its answer each."""
    return [tuple(said[at : at + 2]) for at in range(0, len(said), 2)]


def _differs(stored: Stored, blob: bytes, told: Any) -> str:
    """In what it is not as it was told; empty where it is."""
    known = stored.told
    if known is None:
        reading = Reading()
        reading.take_whole(told)
        if reading.text != stored.request.expected:
            return f"is {reading.text!r}, and was {stored.request.expected!r}"
        return reading.wrong(stored.request)
    found = blob if isinstance(known, bytes) else told if isinstance(known, Mapping) else _said(told["data"])
    return "" if found == known else difference(repr(found), repr(known))


def _said(items: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Who said what, in a list of items."""
    return [(each["role"], _text(each["content"])) for each in items]


def _text(content: str | Iterable[Mapping[str, str]]) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


async def _ask(wire: Wire, stored: Stored) -> tuple[int, bytes, Any]:
    """The status, the body, and what it says where it is an object."""
    async with wire.request("GET", stored.path, whose="the shelf") as answer:
        blob = await answer.body()
        return answer.status, blob, None if isinstance(stored.told, bytes) else json.loads(blob)


async def _list_chats(wire: Wire) -> Counter[str]:
    """How often each is listed."""
    seen, after, more = Counter[str](), "", True
    while more:
        async with wire.request("GET", f"{CHATS}?limit=100{after}", whose="the shelf") as answer:
            page = await answer.json()
        seen.update(chat["id"] for chat in page["data"])
        after, more = f"&after={page['last_id']}", page["has_more"]
    return seen
