"""What workers may do, dead ones that wake up too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from shared.errors import InferqError
from shared.protocol import Delta, Done, Event, Failed, State, Usage
from shared.ticket import Answer, Claim, LeftForOthers, Sighting
from tests.model.cast import GATEWAYS, LEASE, Cast, Run, action, models, newest, number, sendings, which_run, workers
from tests.model.job import Addition
from tests.model.pair import Sending

ENDS: dict[State, Event] = {
    State.COMPLETED: Done(Usage(4, 2)),
    State.FAILED: Failed("server_error", "It broke."),
    State.CANCELLED: Failed("cancelled", "The job was cancelled."),
}


class Workers(Cast):
    """Executions begin, go on and end."""

    @action(1, model=models, sending=st.sampled_from([Sending.ONCE] * 9 + [Sending.LOST]))
    def move(self, model: str, sending: Sending) -> None:
        self.do("move", model, sending=sending)

    @action(
        8,
        needs="entries",
        model=models,
        entry=st.sampled_from(["moved", "moved", "moved", "moved", "earlier", "late", "none"]),
        which=number,
        worker=workers,
        sending=sendings,
    )
    def claim(self, model: str, entry: str, which: int, worker: str, sending: Sending) -> None:
        """With the permit that was moved now or earlier, with one that is there no more, or without one."""
        permit = (self.do("move", model) if entry == "moved" else None) or ""
        between = self.world.between[model]
        if entry == "earlier" and between:
            permit = newest(between, which)
        if entry == "late" and self.ids:
            permit = newest(self.ids, which)
            model = self.world.jobs[permit].model if permit in self.world.jobs else model
        execution = self.new("x")
        options: dict[str, Any] = {"lease_ms": LEASE, "worker": worker, "sending": sending}
        claim: Claim | LeftForOthers | None = self.do("claim", model, permit, execution, actor=execution, **options)
        if isinstance(claim, Claim):
            self.runs.append(Run(execution, claim.job_id, model, worker, claim.seq))

    @action(
        9,
        needs="owners",
        several=st.lists(
            st.tuples(
                which_run,
                st.integers(1, 3),
                st.sampled_from([0, 0, 0, 0, 0, -1, -2, 1]),
                st.sampled_from([None, None, None, *ENDS]),
            ),
            min_size=1,
            max_size=3,
        ),
        broken=st.sampled_from([None, None, None, 0, 1]),
        sending=sendings,
    )
    def append(self, several: list[tuple[int, int, int, State | None]], broken: int | None, sending: Sending) -> None:
        """Of one model: a worker sends what all of its executions have to send."""
        runs: dict[str, tuple[Run, int, int, State | None]] = {}
        for which, count, shift, state in several:
            run = self.execution(which)
            if not runs or next(iter(runs.values()))[0].model == run.model:
                runs[run.id] = (run, count, shift, state)
        self._append(list(runs.values()), sending, broken)

    @action(
        3,
        needs="owners",
        which=which_run,
        cancelled=st.booleans(),
        lost=st.booleans(),
        taken=st.booleans(),
        wakes=st.sampled_from(["append", "renew", "release", "hand_back", "restart"]),
        sending=sendings,
    )
    def overtake(self, which: int, cancelled: bool, lost: bool, taken: bool, wakes: str, sending: Sending) -> None:
        """What a worker is about to do comes too late: its job is cancelled, was lost meanwhile, or is another's."""
        run = self.execution(which)
        if cancelled:
            self.do("cancel", run.job, unless_joined=False)
        for _ in range(4 * lost):
            self.pair.pass_time(1100)
            self.do("sweep", run.model, LEASE)
        if lost and taken:
            self.claim(run.model, "moved", 0, "w2", Sending.ONCE)
        options: dict[str, Any] = {"sending": sending, "actor": run.id}
        match wakes:
            case "append":
                self._append([(run, 1, 0, None)], sending)
            case "renew":
                self.do("renew", run.model, LEASE, [(run.job, run.id)], **options)
            case "release":
                self.do("release", run.model, [(run.job, run.id)], **options)
            case "hand_back":
                self.do("hand_back", run.model, run.job, run.id, InferqError("It cannot compute."), **options)
            case "restart":
                self.do("restart", run.model, run.job, run.id, **options)

    @action(2, needs="owners", which=which_run, sending=sendings)
    def append_all(self, which: int, sending: Sending) -> None:
        """A worker sends what all of its executions have to send, to one gateway that waits for all of their jobs."""
        model, gateway = self.execution(which).model, GATEWAYS[0]
        runs = [run for run in self.owners if run.model == model][-4:]
        self.do("listen", gateway, 0)
        self.do("attach", gateway, [Sighting(run.job, 0, "") for run in runs])
        if runs:
            self._append([(run, 1, 0, None) for run in runs], sending)

    def _append(
        self, several: Sequence[tuple[Run, int, int, State | None]], sending: Sending, broken: int | None = None
    ) -> None:
        """Events of executions: how many, by how much their numbers are wrong, and whether they are the last.

        `broken` is the place of one more among them, of which nothing can be made.
        """
        additions = []
        for run, count, shift, state in several:
            first = max(1, run.stored + 1 + shift)
            events: list[Event] = [Delta(f"{n}", (n,), offset=n) for n in range(first, first + count)]
            if state:
                events[-1] = ENDS[state]
            additions.append(Addition(run.job, run.id, first, tuple(events), state))
        if broken is not None:
            additions.insert(broken, Addition(additions[0].job_id, additions[0].execution, 1, (), None))
        model = several[0][0].model
        answers = self.do("append", model, tuple(additions), sending=sending, actor=f"publisher {model}")
        for (run, *_), (answer, stored) in zip(several, filter(None, answers), strict=True):
            if answer != Answer.FENCED:
                run.stored = stored

    @action(2, needs="owners", which=st.lists(which_run, min_size=1, max_size=3), sending=sendings)
    def renew(self, which: list[int], sending: Sending) -> None:
        model, pairs = self._pairs(which)
        self.do("renew", model, LEASE, pairs, sending=sending, actor=f"leases {model}")

    @action(2, needs="owners", which=st.lists(which_run, min_size=1, max_size=3), sending=sendings)
    def release(self, which: list[int], sending: Sending) -> None:
        model, pairs = self._pairs(which)
        self.do("release", model, pairs, sending=sending, actor=f"stopping {model}")

    def _pairs(self, which: list[int]) -> tuple[str, list[tuple[str, str]]]:
        """Executions of one model."""
        runs = {run.id: run for run in (self.execution(n) for n in which)}.values()
        model = next(run.model for run in runs)
        return model, [(run.job, run.id) for run in runs if run.model == model]

    @action(2, needs="owners", which=which_run, sending=sendings)
    def hand_back(self, which: int, sending: Sending) -> None:
        run = self.execution(which)
        reason = InferqError("It cannot compute.")
        self.do("hand_back", run.model, run.job, run.id, reason, sending=sending, actor=run.id)

    @action(2, needs="owners", which=which_run, sending=sendings)
    def restart(self, which: int, sending: Sending) -> None:
        run = self.execution(which)
        self.do("restart", run.model, run.job, run.id, sending=sending, actor=run.id)

    @action(1, needs="owners", which=which_run, sending=sendings)
    def decline(self, which: int, sending: Sending) -> None:
        run = self.execution(which)
        self.do("decline", run.model, run.job, run.id, sending=sending, actor=run.id)
