"""Which slot of llama.cpp a run has, and what the others still know.

llama.cpp chooses slots by how alike prompts are, whoever they are of. So the choice is made here, and each request
names its slot: what was computed for one owner is of no use to another, nor can he find out that it is there.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from shared.errors import HostDied, HostUnavailable
from shared.protocol import Caching
from worker.engines.cells import Cells, Share
from worker.engines.llama_cpp_server import LlamaServer

_EVERYBODY = "\0public"
"""The owner of what is the same whoever uses it."""
_ALIKE = 10
"""A seat is worth having for one part in so many of a prompt."""
_WORTH = 512
"""Tokens of others, after which what an idle seat knows has cost them about what it costs to put it away and to restore
it: attention looks through the cells of all. Both grow alike with the model."""
_turns = itertools.count()


@dataclass(eq=False, slots=True)
class Seat:
    """One slot: whose prompts it may know, and the tokens that it has."""

    number: int
    server: LlamaServer
    """Every request to it is computed in this slot."""
    holder: tuple[str, str] | None = None
    """The owner and the key of `Caching`; None while it is empty, or taken by nobody yet."""
    tokens: Sequence[int] = ()
    """Of its last run, as far as it was told them."""
    cells: int = 0
    """How many it takes."""
    known: int = 0
    """How many tokens of its run's prompt it had before that."""
    life: int = 0
    """Of the host that has computed them: another one knows nothing of them."""
    taken: bool = False
    emptied: bool = False
    """It is being emptied: until that is done it has cells that nobody can have."""
    seated: bool = False
    """Its run is there: whenever that is outside of the cells, others may have the seat emptied."""
    asked: int = 0
    """Tokens of the prompt of its last run: an answer comes after them."""
    author: str = ""
    """Of that."""
    kept: bool = False
    """What it knows may come to disk, and was not kept from it yet."""
    left: int = 0
    """How many tokens all seats had computed when its run ended."""
    turn: int = field(default_factory=lambda: next(_turns))
    since: float = 0.0
    """When its run began (monotonic)."""
    share: Share = field(default_factory=Share)
    """Of the cells, which its run has: from when it restores something until its end."""
    read: int = 0
    """Tokens of the prompt that its run has read, beside those of its last request."""

    def hold(self, tokens: Sequence[int], cells: int) -> None:
        self.tokens, self.cells = tokens, cells

    @property
    def public(self) -> bool:
        """What is asked there is everybody's; an answer is never."""
        return self.holder is not None and self.holder[0] == _EVERYBODY


class Seats:
    """Those of one host, as many as runs are computed at once."""

    def __init__(
        self, server: LlamaServer, count: int, cells: Cells, save: Callable[[Seat], bool], public: str = ""
    ) -> None:
        """`save` has what an idle seat knows on disk; False where it is not there afterwards. `public` has
        the keys, with commas, that are the same whoever uses them; `*` stands for all."""
        self._public = frozenset(filter(None, map(str.strip, public.split(","))))
        self._server, self._cells, self._save = server, cells, save
        self._seats = [Seat(number, server.at(number)) for number in range(count)]
        self._changed = threading.Condition()
        self._computed = 0  # tokens, by all
        cells.on_enter = self.make_room

    @contextmanager
    def take(self, prompt: Sequence[int], caching: Caching) -> Iterator[Seat]:
        """The seat that has most of the prompt already, of those of the same owner and key; else an empty one; else
        the one that nobody has used for longest, which is emptied. Raises EngineError where that fails."""
        public = caching.key in self._public or "*" in self._public
        holder = _EVERYBODY if public else caching.owner, caching.key
        with self._changed:
            while (seat := self._choose(prompt, holder)) is None:
                self._changed.wait()
            strange = seat.holder not in (None, holder) or _betrays(seat, prompt, caching.owner)
            seat.taken, seat.emptied = True, strange or self._hoards(seat, len(prompt))
        try:
            if seat.emptied:
                self._empty(seat)
            with self._changed:
                seat.known, seat.read, seat.since = common(seat.tokens, prompt), 0, time.monotonic()
                seat.holder, seat.share, seat.life = holder, Share(), self._server.life
                seat.tokens, seat.asked, seat.author = prompt, len(prompt), caching.owner
                seat.seated, seat.kept = True, False
                self._computed += len(prompt) - seat.known
                idle = any(map(self._is_idle, self._seats))
            if idle:
                threading.Thread(target=self._put_away, name="idle seats", daemon=True).start()
            yield seat
        finally:
            self._cells.leave(seat.share)
            with self._changed:
                self._changed.wait_for(lambda: not seat.share.barred)
                if (life := self._server.life) != seat.life or not seat.cells:
                    seat.tokens = ()  # of which life they are nobody knows, or they were emptied at the run's end
                self._computed += max(0, len(seat.tokens) - len(prompt))
                seat.left = self._computed
                seat.life, seat.turn, seat.taken, seat.seated = life, next(_turns), False, False
                self._changed.notify_all()

    def make_room(self, more: int = 0) -> None:
        """Empty seats until their cells are not needed by the runs that are inside, nor by so many more tokens: first
        those that nobody has used for longest, then those of runs that wait to enter."""
        while (seat := self._superfluous(more)) is not None:
            try:
                self._empty(seat)
            finally:
                with self._changed:
                    seat.taken = seat.seated
                    self._cells.admit(seat.share)
                    self._changed.notify_all()

    def _put_away(self) -> None:
        """Have what idle seats know on disk instead, where that works: each cell of theirs slows down all others."""
        while True:
            with self._changed:
                seat = next(filter(self._is_idle, self._seats), None)
                if seat is None:
                    return
                seat.taken = seat.emptied = True
            try:
                if self._save(seat):
                    self._empty(seat)
            finally:
                with self._changed:
                    seat.taken = seat.emptied = seat.kept = False  # nor is it tried again
                    self._changed.notify_all()

    def _is_idle(self, seat: Seat) -> bool:
        """Whether it is better put away, as far as that may be."""
        lives = not seat.taken and seat.kept and seat.cells and seat.life == self._server.life
        return bool(lives) and self._computed - seat.left >= _WORTH

    def _choose(self, prompt: Sequence[int], holder: tuple[str, str]) -> Seat | None:
        """None while there is none, or what the prompt goes on from is being put away: it is on disk soon."""
        idle = [seat for seat in self._seats if not seat.taken]
        for seat in idle:
            if seat.life != self._server.life:
                _forget(seat)
        own = [(common(seat.tokens, prompt), not seat.taken, seat) for seat in self._seats if seat.holder == holder]
        able = [one for one in own if one[1] or (one[2].emptied and not one[2].seated and one[0] >= one[2].asked > 0)]
        most, free, best = max(able, key=lambda one: one[:2], default=(0, True, None))
        if best and most * _ALIKE > len(prompt):
            return best if free else None
        return min(idle, key=lambda seat: (seat.holder is not None, seat.turn), default=None)

    def _hoards(self, seat: Seat, tokens: int) -> bool:
        """Whether it has cells that a run of so many tokens does not need, and others may."""
        return seat.cells > max(tokens, self._cells.left())

    def _superfluous(self, more: int) -> Seat | None:
        """One that is to be emptied, which is barred until then. Whoever finds room can use it at once; else he waits
        for those that are being emptied, or put away."""
        with self._changed:
            while True:
                emptied = sum(seat.cells for seat in self._seats if seat.emptied)
                held = [seat for seat in self._seats if not seat.emptied and (seat.seated or not seat.taken)]
                outside = [seat for seat in held if seat.cells and self._cells.bar(seat.share)]
                lacks = sum(seat.cells for seat in outside) + emptied + more > self._cells.left()
                found = None
                if lacks and not emptied:
                    found = min(outside, key=lambda seat: (seat.seated, seat.turn), default=None)
                for other in outside:
                    if other is not found:
                        self._cells.admit(other.share)
                if found:
                    found.taken = found.emptied = True
                if not (lacks and emptied):
                    return found
                self._changed.wait()

    def _empty(self, seat: Seat) -> None:
        try:
            with suppress(HostDied, HostUnavailable):  # the next one knows nothing
                self._server.ask(f"/slots/{seat.number}?action=erase", {})
        finally:
            with self._changed:
                seat.known = seat.cells = 0
                if not seat.seated:
                    _forget(seat)
                seat.emptied = False
                self._changed.notify_all()


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _betrays(seat: Seat, prompt: Sequence[int], owner: str) -> bool:
    """Whether the prompt goes on where another one's was answered: by what is known of it he could tell how."""
    return seat.public and seat.author != owner and 0 < seat.asked <= common(seat.tokens, prompt)


def _forget(seat: Seat) -> None:
    seat.holder = None
    seat.hold((), 0)
