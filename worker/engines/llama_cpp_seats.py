"""Which slot of llama.cpp a run has, and what the others still know.

llama.cpp chooses slots by how alike prompts are, whoever they are of. So the choice is made here, and each request
names its slot: what was computed for one owner is of no use to another, nor can he find out that it is there.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from shared.cancellation import Cancellation
from shared.errors import EngineError, HostDied, HostUnavailable, JobCancelled
from shared.protocol import Caching
from worker.engines.cells import Cells, Share
from worker.engines.llama_cpp_seat import EVERYBODY, Seat, common, turns
from worker.engines.llama_cpp_server import LlamaServer
from worker.prefixes.chain import GAIN, LEAST

log = logging.getLogger(__name__)

_ALIKE = 10
"""A seat is worth having for one part in so many of a prompt."""
_WORTH = 128
"""Tokens of others, after which what an idle seat knows has cost them about what it costs to put it away and to restore
it: attention looks through the cells of all. Both grow alike with the model."""
_LONG = 512
"""Tokens that a run is to read, for which also what is less than a snapshot is put away before: cells of short answers
that were computed side by side lie between each other, and cost it six times as much as in a row."""
_MOMENT = 0.25
"""Seconds that such a run waits for that."""


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
        self._saving, self._least = False, LEAST  # cells of what is put away
        self._computed = 0  # tokens, by all
        cells.on_enter = self.make_room

    @contextmanager
    def take(self, prompt: Sequence[int], caching: Caching) -> Iterator[Seat]:
        """The seat that has most of the prompt already, of those of the same owner and key; else an empty one; else
        the one that nobody has used for longest, which is emptied. Raises EngineError where that fails."""
        public = caching.key in self._public or "*" in self._public
        holder = EVERYBODY if public else caching.owner, caching.key
        with self._changed:
            while (seat := self._choose(prompt, holder)) is None:
                self._changed.wait()
            strange = seat.holder not in (None, holder) or seat.betrays(prompt, caching.owner)
            seat.taken, seat.emptied = True, strange or self._hoards(seat, len(prompt))
        try:
            if seat.emptied:
                self._empty(seat)
            with self._changed:
                seat.known, seat.read, seat.since = common(seat.tokens, prompt), 0, time.monotonic()
                seat.holder, seat.share, seat.life = holder, Share(), self._server.life
                seat.tokens, seat.asked, seat.author = prompt, len(prompt), caching.owner
                seat.seated, seat.kept = True, False
                self._computed += (unread := len(prompt) - seat.known)
            self._have_put_away(unread)
            yield seat
        finally:
            self._cells.leave(seat.share)
            with self._changed:
                self._changed.wait_for(lambda: not seat.share.barred)
                if (life := self._server.life) != seat.life or not seat.cells:
                    seat.tokens = ()  # of which life they are nobody knows, or they were emptied at the run's end
                self._computed += max(0, len(seat.tokens) - len(prompt))
                seat.left = self._computed
                seat.life, seat.turn, seat.taken, seat.seated = life, next(turns), False, False
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

    def _have_put_away(self, unread: int) -> None:
        """Have what idle seats know on disk instead, where that works: each cell of theirs slows down all others."""
        long = unread >= _LONG
        with self._changed:
            least = GAIN if long else LEAST
            if self._saving or self._next_idle(least):
                self._least = min(self._least, least)
                if not self._saving:
                    self._saving = True
                    threading.Thread(target=self._put_away, name="idle seats", daemon=True).start()
                if long:
                    self._changed.wait_for(lambda: not (self._saving or any(s.emptied for s in self._seats)), _MOMENT)

    def _put_away(self) -> None:
        """All of them. One at a time is saved, for that takes space; what they keep is computed side by side."""
        while seat := self._take_idle():
            try:
                saved = self._save(seat)
            except Exception:  # or nothing would ever be put away again
                log.exception("an idle seat")
                saved = False
            if not saved:
                self._let_go(seat)
            else:
                threading.Thread(target=self._leave_opening, args=(seat,), name="idle seat", daemon=True).start()

    def _take_idle(self) -> Seat | None:
        with self._changed:
            if seat := self._next_idle(self._least):
                seat.taken = seat.emptied = True
            else:
                self._saving, self._least = False, LEAST
                self._changed.notify_all()
            return seat

    def _leave_opening(self, seat: Seat) -> None:
        try:
            self._empty(seat, self._opening(seat))
        finally:
            self._let_go(seat)

    def _let_go(self, seat: Seat) -> None:
        """It has been put away, or is not tried again."""
        with self._changed:
            seat.taken = seat.emptied = seat.kept = False
            self._changed.notify_all()

    def _next_idle(self, least: int) -> Seat | None:
        return next((seat for seat in self._seats if self._is_idle(seat, least)), None)

    def _is_idle(self, seat: Seat, least: int) -> bool:
        """Whether it is better put away, as far as that may be."""
        lives = not seat.taken and seat.kept and seat.life == self._server.life
        return lives and seat.cells >= least and self._computed - seat.left >= _WORTH

    def _opening(self, seat: Seat) -> Sequence[int]:
        """What its owner's other prompts begin with too, where that is too little to be restored."""
        others = [other for other in self._seats if other is not seat and other.holder == seat.holder]
        most = max((common(seat.tokens, other.tokens) for other in others), default=0)
        return seat.tokens[:most] if most < GAIN else ()

    def _choose(self, prompt: Sequence[int], holder: tuple[str, str]) -> Seat | None:
        """None while there is none, or what the prompt goes on from is being put away: it is on disk soon."""
        idle = [seat for seat in self._seats if not seat.taken]
        for seat in idle:
            if seat.life != self._server.life:
                seat.forget()
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

    def _empty(self, seat: Seat, opening: Sequence[int] = ()) -> None:
        """Leave nothing there, or this much."""
        kept: Sequence[int] = ()
        try:
            with suppress(HostDied, HostUnavailable):  # the next one knows nothing
                if opening and self._shorten(seat, opening):
                    kept = opening
                else:
                    self._server.ask(f"/slots/{seat.number}?action=erase", {})
        finally:
            with self._changed:
                seat.known = seat.cells = 0
                if kept:
                    seat.hold(kept, len(kept))
                elif not seat.seated:
                    seat.forget()
                seat.emptied = False
                self._changed.notify_all()

    def _shorten(self, seat: Seat, opening: Sequence[int]) -> bool:
        """False where that does not work soon: somebody's prompt may be read to its end before."""
        request = {"prompt": list(opening), "n_predict": 0, "cache_prompt": True}
        work = Cancellation()
        late = threading.Timer(_MOMENT, work.cancel)
        late.start()
        try:
            reply = seat.server.ask("/completion", request, work, computes=True)
            return int(reply["tokens_cached"]) == len(opening)
        except (JobCancelled, EngineError):
            return False
        finally:
            late.cancel()
