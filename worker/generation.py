"""The runner of tasks that generate text: their parts are the candidates of their choices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import assert_never

from msgspec.structs import replace

from shared import streams
from shared.cancellation import check
from shared.parameters import check_parameters
from shared.protocol import Delta, Done, Event, Failed, Progress, StartOver, TextTask, Told
from shared.tickets import Tickets
from worker.choices import Candidate, Diverged, best, chooses_best, divide, pass_over, restore, retell, split, sum_up
from worker.engines import UNTOLD, Engine
from worker.execution import Execution, digest
from worker.prompts import Prompt
from worker.quarantine import Quarantine
from worker.run import Runner
from worker.trimming import trim


class GenerationRunner(Runner[Candidate]):
    """The computation of a `Chat` or a `Completion`."""

    def __init__(
        self,
        engine: Engine,
        quarantine: Quarantine,
        execution: Execution,
        publish: Callable[[Execution, Event], None],
        tickets: Tickets,
    ) -> None:
        super().__init__(engine, quarantine, execution, publish, tickets)
        task = execution.accepted.task
        assert isinstance(task, TextTask), "see runners.py"
        self._task = _owned(task, execution.accepted.owner)
        self._judged = chooses_best(self._task)
        self._candidates = split(self._task)
        continues = all(engine.continues(candidate.task) for candidate in self._candidates)
        execution.continuable = continues and not self._judged
        self._prompts = {each.prompt: Prompt(engine, each.task) for each in reversed(self._candidates)}
        self._left = iter(self._candidates)
        self._sent: list[Delta] = []
        self._progress = Progress(0, 0)

    @property
    def width(self) -> int:
        return len(self._candidates)

    def restore(self) -> None:
        """Tokens of another model mean nothing to this one, nor how likely they were there."""
        mine = digest(self.execution.id)
        for entry in streams.entries(self._tickets.client, self.execution.job_id):
            ours = digest(entry.by) == mine
            for event in entry.events:
                match event:
                    case StartOver():
                        self._sent.clear()
                    case Delta():
                        sampling = self._task.sampling
                        tells = (sampling.logprobs, sampling.prompt_logprobs) != (None, None)
                        if (self._task.token_ids or tells) and not ours:
                            self._error = Diverged()
                        self._sent.append(event if ours else replace(event, tokens=(UNTOLD,) * len(event.tokens)))
        if not self._judged:
            restore(self._candidates, self._sent)

    def _next(self) -> Candidate | None:
        return next((candidate for candidate in self._left if not candidate.done), None)

    def _events(self, candidate: Candidate) -> Iterator[Event]:
        """What the engine has to say of a candidate, after what was sent already. Raises InvalidRequest."""
        prompt = self._prompts[candidate.prompt]
        if not candidate.deltas:
            answer = prompt.answer(self.execution) or self._engine.run(candidate.task, self.execution)
            return (_without_prompt(event) for event in answer) if prompt.told else answer
        if self._engine.continues(candidate.task):
            return self._engine.run(candidate.task, self.execution, tuple(candidate.deltas))
        return pass_over(candidate.deltas, self._engine.run(candidate.task, self.execution))

    def _tell_prompt(self, candidate: Candidate) -> None:
        """What is to be told of its prompt, and has not been. Where the best are chosen it waits for that."""
        prompt = self._prompts[candidate.prompt]
        if prompt.told and not candidate.deltas:
            for piece in prompt.pieces(self.execution, candidate.told):
                if not self._judged:
                    self._send(candidate, piece)
                    candidate.told = max(candidate.told, 0) + len(piece.prompt_logprobs)

    def _compute(self, candidate: Candidate) -> None:
        last: Delta | None = None
        check_parameters(self._task, self._engine.card)
        self._tell_prompt(candidate)
        candidate.task, whole = trim(candidate.task, self._engine, self.execution), candidate.task
        trimmed = candidate.task is not whole
        for event in self._events(candidate):
            check(self.execution)
            match event:
                case Progress():
                    self._tell(self._sum_up(candidate, event))
                case Delta() if self._judged:
                    candidate.deltas.append(event)
                case Delta(finish_reason=None):
                    candidate.deltas.append(event)
                    self._send(candidate, event)
                case Delta():
                    last = event  # goes out with the usage, which comes next
                case Done():
                    pieces = [*candidate.deltas, *filter(None, [last])]
                    thoughts = sum(len(piece.tokens) for piece in pieces if piece.reasoning)
                    usage = replace(event.usage, reasoning_tokens=thoughts, trimmed=event.usage.trimmed or trimmed)
                    candidate.done = replace(event, usage=usage)
                    if last:
                        # Others are of a chat's format.
                        stop = last.stop if last.stop in self._task.sampling.stop else ""
                        self._send(candidate, replace(last, usage=usage, stop=stop))
                case Told():
                    raise AssertionError("these are no parts of a text")
                case StartOver() | Failed():
                    raise AssertionError("engines raise their errors")
                case _:
                    assert_never(event)

    def _sum_up(self, candidate: Candidate, progress: Progress) -> Progress:
        """How far all of them are now that this one is so far."""
        with self._lock:
            past, sums = candidate.progress, self._progress
            self._progress = Progress(sums.done + progress.done - past.done, sums.total + progress.total - past.total)
            candidate.progress = progress
            return self._progress

    def _send(self, candidate: Candidate, delta: Delta) -> None:
        """Send a piece, and say where it belongs."""
        for piece in divide(delta):
            self._tell(replace(piece, index=candidate.index, offset=candidate.sent))
            candidate.sent += len(piece.text)

    def _finish(self) -> Done:
        """Where the best are chosen, send what an earlier execution has not; what it has sent must be among them."""
        if self._judged:
            for index, delta in enumerate(self._best()):
                if index >= len(self._sent):
                    self._tell(delta)
                elif delta.text != self._sent[index].text:
                    raise Diverged
        return sum_up(self._candidates)

    def _best(self) -> Iterator[Delta]:
        """The best, each after what is told of its prompt."""
        tells = self._task.sampling.logprobs is not None
        for index, winner in enumerate(best(self._candidates, self._task)):
            prompt = self._prompts[winner.prompt]
            if prompt.told:
                yield from (replace(piece, index=index) for piece in prompt.pieces(self.execution))
            yield from retell(winner.deltas, index, likelihoods=tells)


def _owned(task: TextTask, owner: str) -> TextTask:
    """The task, which says whose it is to those who remember prompts."""
    sampling = task.sampling
    return replace(task, sampling=replace(sampling, caching=replace(sampling.caching, owner=owner)))


def _without_prompt(event: Event) -> Event:
    """It has been told."""
    return replace(event, prompt_tokens=()) if isinstance(event, Delta) and event.prompt_tokens else event
