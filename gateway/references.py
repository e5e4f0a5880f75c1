"""What a request names that is stored, looked up for it before it is read: what came before, items, and files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from gevent.lock import BoundedSemaphore
from marshmallow import ValidationError
from msgspec.json import encode

from gateway import bodies, conversations
from gateway.archive.thing import ThingKind
from gateway.recordings import Recording
from gateway.schemas.caps import capped
from gateway.schemas.problem import first
from gateway.schemas.responses.answer import output_items
from gateway.schemas.responses.ids import response_of
from gateway.schemas.responses.items import Item
from gateway.schemas.responses.parts import FileText, read_text
from gateway.schemas.responses.references import Names, Referred, Referring, files_of, names
from gateway.socket_memory import current_turn
from gateway.state import this_gateway
from shared.errors import InvalidRequest, NotStored
from shared.protocol import State

R = TypeVar("R", bound=Referring)

MOST_LOOK_UPS = 8
"""Requests for which a process looks something up at one time: what is found is in its memory."""
MOST_RESPONSES = 16
"""Responses in which the items are looked for that a request names by their ids: one has all that it was given too."""

_EVENT_BYTES = 256
"""About what an event is, where it is made into items."""
_turns = BoundedSemaphore(MOST_LOOK_UPS)


def look_up(wire: R, body: object, owner: str) -> tuple[R, int]:
    """The format, with what a body names, and how many bytes that has.

    Raises InvalidRequest, NotStored, ArchiveUnavailable, StoreUnavailable.
    """
    config = this_gateway().config
    with capped(config):
        wanted = names(body)
    turn = current_turn()
    if wanted == Names():
        return type(wire)(Referred(tell=turn.note)) if turn else wire, 0
    with _turns:
        search = _Search(owner, this_gateway().directory.largest_body())
        found = search.find(wanted)
        return type(wire)(found._replace(tell=turn.note) if turn else found), search.size


class _Search:
    """For one request, which is given so many bytes at most."""

    def __init__(self, owner: str, most: int) -> None:
        self._owner = owner
        self._most = most
        self.size = 0

    def find(self, wanted: Names) -> Referred:
        inherited: list[Item] = []
        if wanted.previous:
            inherited = self._count(self._previous(wanted.previous), "previous_response_id")
        elif wanted.conversation:
            inherited = self._count(self._conversation(wanted.conversation), "conversation")
        named = self._named(wanted.items, inherited)
        self._count(named.values(), "input")
        stored = dict.fromkeys((*wanted.files, *files_of([*inherited, *named.values()])))
        files = {file_id: found for file_id in stored if (found := self._file(file_id))}
        return Referred(tuple(inherited), named, files)

    def _previous(self, response_id: str) -> list[Item]:
        param = "previous_response_id"
        if (turn := current_turn()) and (items := turn.recall(response_id)) is not None:
            return items
        try:
            found = this_gateway().recordings.find(ThingKind.RESPONSE, response_id, self._owner)
        except NotStored as exc:
            problem = f"Invalid '{param}': there is no response {response_id[:64]!r}."
            raise InvalidRequest(problem, param=param, code="previous_response_not_found") from exc
        if found.state is not State.COMPLETED:
            problem = f"it is {found.state}" if found.state.final else "it has not ended yet"
            raise InvalidRequest(f"Invalid '{param}': {problem}.", param=param)
        return self._items(found)

    def _conversation(self, conversation_id: str) -> list[Item]:
        try:
            return conversations.items(self._owner, conversation_id)
        except NotStored as exc:
            raise NotStored(conversation_id, param="conversation") from exc

    def _named(self, item_ids: Iterable[str], inherited: Iterable[Item]) -> dict[str, Item]:
        """Those that are there, by their ids. The last response was given those of the ones before it."""
        known, looked = {item["id"]: item for item in inherited}, set[str]()
        for item_id in reversed([*item_ids]):
            response_id = response_of(item_id)
            if item_id in known or not response_id or response_id in looked or len(looked) == MOST_RESPONSES:
                continue
            looked.add(response_id)
            try:
                found = this_gateway().recordings.find(ThingKind.RESPONSE, response_id, self._owner)
            except NotStored:
                continue  # who reads the request says which item is missing
            known |= {item["id"]: item for item in self._items(found) if item.get("status") != "in_progress"}
        return {item_id: known[item_id] for item_id in item_ids if item_id in known}

    def _items(self, found: Recording) -> list[Item]:
        """All of a response: what it was given, and what it says."""

        def make() -> list[Item]:
            return [*found.given, *output_items(found.id, found.accepted, found.events)]

        return bodies.apart(self._owner, len(found.events) * _EVENT_BYTES, make)

    def _file(self, file_id: str) -> FileText | None:
        """None where it is not there: who reads the request says where that is named."""
        archive = this_gateway().archive
        try:
            stored = archive.find(self._owner, ThingKind.FILE, file_id)
            self._add(stored.size, "file_id")
            content = b"".join(archive.read(stored))
        except NotStored:
            return None
        try:
            return FileText(stored.facts.get("filename", ""), read_text(content, "file_id"))
        except ValidationError as exc:
            raise first(exc) from exc

    def _count(self, items: Iterable[Item], param: str) -> list[Item]:
        counted = list(items)
        for item in counted:
            self._add(len(encode(item)), param)
        return counted

    def _add(self, size: int, param: str) -> None:
        self.size += size
        if self.size > self._most:
            problem = f"Invalid '{param}': what it stands for has more than {self._most} bytes."
            raise InvalidRequest(problem, param=param)
