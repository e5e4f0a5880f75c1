"""What clients and their gateways may do."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from shared.protocol import Accepted, Completion, Kept, Options, Sampling
from shared.ticket import ORDINARY, Attempt, Sighting, Standing, Tier
from tests.model.cast import GATEWAYS, Caller, Cast, action, gateways, models, newest, number, sendings, sometimes
from tests.model.pair import Sending

SIZE = 6500
"""Bytes of a job, somewhat more than those that are asked for here take."""
standings = st.builds(
    Standing,
    tier=st.sampled_from([Tier.DEFAULT, Tier.DEFAULT, Tier.FLEX, Tier.FLEX, Tier.PRIORITY]),
    weight=st.sampled_from([1, 1, 1, 2, 0.5]),
    most=st.sampled_from([0, 0, 0, 0, 3]),
    most_bytes=st.sampled_from([0, 0, 0, 0, 3 * SIZE]),
)
BEGINNING = "once upon a time, "
texts = st.sampled_from(["once", BEGINNING * 2, BEGINNING * 2 + "and", BEGINNING * 3, "twice" * 7])
"""The first one is so short that it makes no difference who reads it."""
KEPT, SAID = Kept(("once",)), Kept(("once",), conversation="c")
afters = st.sampled_from([0, 0, 999, 1000, 10_000, -20_000])


REFUSED = ("QueueFull", "KeyFull", "KeyMemoryFull", "MemoryFull", "ArchiveUnavailable", "IdempotencyKeyReused")


class Clients(Cast):
    """Clients come, come again and leave; gateways compare."""

    @action(
        2,
        model=models,
        gateway=st.sampled_from([*GATEWAYS, *GATEWAYS, ""]),
        waits=st.sampled_from([True, True, True, False]),
        parts=sometimes,
        key=st.sampled_from(["", "", "", "k1", "k2"]),
        most=st.sampled_from([9, 9, 9, 9, 9, 9, 2, 0]),
        most_bytes=st.sampled_from([None] * 6 + [4 * SIZE, 0]),
        wait=st.sampled_from([3000, 3000, 3000, 60, 5, 0, 200_000]),
        owner=st.sampled_from(["o", "o", "p", "q", ""]),
        standing=standings,
        sending=sendings,
        kept=st.sampled_from([None, None, KEPT, SAID]),
        text=texts,
    )
    def submit(
        self,
        model: str,
        gateway: str,
        waits: bool,
        parts: bool,
        key: str,
        most: int,
        most_bytes: int | None,
        wait: float,
        owner: str,
        standing: Standing,
        sending: Sending,
        kept: Kept | None = None,
        text: str = "once",
    ) -> None:
        attempt = Attempt(f"print-{model}", 0, key, waits=waits, parts=parts)
        task, options = Completion(model, (text,), Sampling(seed=7)), Options(kept=kept)
        accepted = Accepted(task, created=1, owner=owner, options=options)
        self._submit(
            self.new("j"), accepted, gateway, attempt, most, wait, sending, standing=standing, most_bytes=most_bytes
        )

    @action(
        2,
        needs="callers",
        which=number,
        gateway=gateways,
        key=sometimes,
        waits=st.sampled_from([True, True, False]),
        sending=sendings,
    )
    def come_again(self, which: int, gateway: str, key: bool, waits: bool, sending: Sending) -> None:
        """A client's next attempt, or the same key with another request."""
        old = newest(self.callers, which)
        fingerprint = "another" if key and old.attempt.idempotency else old.attempt.fingerprint
        attempt = Attempt(fingerprint, old.attempt.number + 1, old.attempt.idempotency, waits=waits)
        self._submit(self.new("j"), old.accepted, gateway, attempt, 9, 3000, sending)

    @action(1, needs="callers", which=number, sending=sendings)
    def put_back(self, which: int, sending: Sending) -> None:
        """A gateway takes a job for lost, rightly or not."""
        caller = newest(self.callers, which)
        args = (caller.job, caller.accepted, caller.reply, caller.attempt, 0, 60, sending)
        self._submit(*args, visitor=caller.visitor, again=True)

    @action(2, most=st.integers(1, 3), patience=st.sampled_from([10.0, 10.0, 30.0]), after=afters, sending=sendings)
    def look_for_ended(self, most: int, patience: float, after: int, sending: Sending) -> None:
        """A gateway takes on what is to be stored."""
        self.pair.pass_time(after)
        self.do("due", most, patience, sending=sending)

    @action(2, needs="ids", conversation=st.sampled_from(["c", "c", "none"]), sending=sendings)
    def of_conversation(self, conversation: str, sending: Sending) -> None:
        """Somebody asks for a conversation."""
        self.do("of_conversation", conversation, sending=sending)

    @action(2, needs="ids", which=number, dropped=sometimes, indexed=sometimes, sending=sendings)
    def release_stored(self, which: int, dropped: bool, indexed: bool, sending: Sending) -> None:
        """`indexed`: Redis has lost its place in the index, which is nowhere here."""
        self.do("release_stored", self._kept(which), dropped=dropped, indexed=indexed, sending=sending)

    @action(1, needs="ids", which=number, stored=st.booleans(), sending=sendings)
    def remove(self, which: int, stored: bool, sending: Sending) -> None:
        """Its client has it removed, perhaps while a gateway stores it."""
        job_id = self._kept(which)
        self.do("remove", job_id, sending=sending)
        if stored:
            self.do("release_stored", job_id, dropped=False, indexed=False)

    def _kept(self, which: int) -> str:
        """More often than not a job that is to be stored."""
        kept = [job.id for job in self.world.jobs.values() if job.unarchived is not None]
        return newest(kept if kept and which else self.ids, which)

    @action(2, bytes_=st.sampled_from([0, 0, SIZE, None]), ends=st.sampled_from([1, 1, 2, 4]), sending=sendings)
    def fall_behind(self, bytes_: int | None, ends: int, sending: Sending) -> None:
        """Answers that are to be stored end, and nobody stores them: further ones are refused, and others are not."""
        for _ in range(ends):
            self.submit("m", "", True, False, "", 9, None, 3000, "o", ORDINARY, Sending.ONCE, KEPT)
            self.do("cancel", self.ids[-1], unless_joined=False)
        for kept in (KEPT, None):
            task = Completion("m", ("once",), Sampling(seed=7))
            accepted = Accepted(task, created=1, owner="o", options=Options(kept=kept))
            attempt = Attempt("print-m", 0, "")
            args = (self.new("j"), accepted, "", attempt, 9, 3000, sending)
            self._submit(*args, most_unarchived_bytes=bytes_)

    @action(
        2,
        owner=st.sampled_from(["o", "p"]),
        count=st.integers(2, 4),
        queue=st.sampled_from([9, 9, 9, 2]),
        most=st.sampled_from([0, 0, 3]),
        own_bytes=st.sampled_from([0, 2 * SIZE, 2 * SIZE]),
        sending=sendings,
    )
    def crowd(self, owner: str, count: int, queue: int, most: int, own_bytes: int, sending: Sending) -> None:
        """An owner's jobs come until there are too many, and some more, for several reasons at once perhaps."""
        for _ in range(count):
            self.submit("m", "", True, False, "", 9, None, 3000, owner, ORDINARY, Sending.ONCE)
        for all_bytes in (0, 4 * SIZE, None):
            own = Standing(most=most, most_bytes=own_bytes)
            self.submit("m", "", True, False, "", queue, all_bytes, 3000, owner, own, sending)

    def _submit(
        self,
        job_id: str,
        accepted: Accepted,
        gateway: str,
        attempt: Attempt,
        most: int,
        wait: float,
        sending: Sending,
        visitor: str = "",
        again: bool = False,
        standing: Standing = ORDINARY,
        most_bytes: int | None = None,
        most_unarchived_bytes: int | None = None,
    ) -> None:
        visitor = visitor or job_id
        options: dict[str, Any] = {"reply": gateway, "max_queue": most, "wait": wait, "keep": 3600, "attempt": attempt}
        options |= {
            "visitor": visitor,
            "again": again,
            "standing": standing,
            "most_bytes": most_bytes,
            "most_unarchived_bytes": most_unarchived_bytes,
            "sending": sending,
            "actor": f"request {visitor}",
        }
        taken = self.do("submit", job_id, accepted, **options)
        if taken not in REFUSED and not again:
            self.ids.append(taken)
            self.callers.append(Caller(taken, visitor, gateway, attempt, accepted))

    @action(2, needs="callers", which=number, linger=st.sampled_from([0, 30, 30, 60]), sending=sendings)
    def leave(self, which: int, linger: float, sending: Sending) -> None:
        c = newest(self.callers, which)
        actor = f"request {c.visitor}"
        self.do("leave", c.job, c.visitor, c.reply, c.attempt, linger, sending=sending, actor=actor)

    @action(2, which=st.lists(number, min_size=1, max_size=3), gateway=gateways, exact=st.booleans(), sending=sendings)
    def attach(self, which: list[int], gateway: str, exact: bool, sending: Sending) -> None:
        """A gateway compares: what it has is right, or not."""
        sightings = []
        for n in which:
            caller = newest(self.callers, n) if self.callers else None
            job = self.world.jobs.get(caller.job) if caller else None
            if job is None or caller is None:
                sightings.append(Sighting("nobody", n, "", "v", False))
            else:
                seen, by = (job.seq, job.by) if exact else (n, job.by if n % 2 else "x")
                visitor = caller.visitor if caller.reply == gateway and n % 4 else ""
                sightings.append(Sighting(job.id, seen, by, visitor, n == 5))
        self.do("attach", gateway, sightings, sending=sending, actor=f"reconciler {gateway}")

    @action(1, needs="ids", which=number, unless_joined=sometimes, sending=sendings)
    def cancel(self, which: int, unless_joined: bool, sending: Sending) -> None:
        job_id = self.execution(which).job if which % 2 and self.runs else newest(self.ids, which)
        self.do("cancel", job_id, unless_joined=unless_joined, sending=sending)

    @action(1, gateway=gateways, read=number, sending=sendings)
    def listen(self, gateway: str, read: int, sending: Sending) -> None:
        read %= len(self.world.streams.get(gateway, ())) + 1
        if sending in (Sending.ONCE, Sending.LOST):  # the cursor is one of the stream as it is
            self.do("listen", gateway, read if sending is Sending.ONCE else 0, sending=sending)
