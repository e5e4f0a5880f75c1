"""What an engine says, asked directly, and the execution that it sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from shared.protocol import Delta, Done, Event, TextTask
from worker.engines import Engine


class Running:
    """An execution that nobody but the test cancels."""

    def __init__(self) -> None:
        self.cancelled = False
        self._callbacks: list[Callable[[], None]] = []

    def on_cancel(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)
        if self.cancelled:
            callback()

    def forget(self, callback: Callable[[], None]) -> None:
        self._callbacks.remove(callback)

    def cancel(self) -> None:
        self.cancelled = True
        for callback in self._callbacks:
            callback()


def run(engine: Engine, task: TextTask, past: Sequence[Delta] = ()) -> list[Event]:
    """All that it says to a task."""
    return list(engine.run(task, Running(), past))


def host_of(engine: Engine) -> int:
    """The pid of its host, which it has to have."""
    pid = getattr(engine, "host_pid", None)
    assert isinstance(pid, int)
    return pid


def deltas(events: Sequence[Event]) -> list[Delta]:
    return [event for event in events if isinstance(event, Delta)]


def tokens(events: Sequence[Event]) -> list[int]:
    return [token for delta in deltas(events) for token in delta.tokens]


def logprobs(events: Sequence[Event]) -> list[float]:
    """Of the answer's tokens, each of which has to have one."""
    told = [(entry.token, entry.logprob) for delta in deltas(events) for entry in delta.logprobs]
    assert [token for token, _ in told] == tokens(events)
    return [logprob for _, logprob in told if logprob is not None]


def scores(engine: Engine, ids: Sequence[int], after: int) -> list[float]:
    """Log probabilities of given tokens, those first ones left out."""
    return [score.logprob for score in engine.scorer.score(ids, after) if score.logprob is not None]


def text(events: Sequence[Event]) -> str:
    return "".join(delta.text for delta in deltas(events))


def finish(events: Sequence[Event]) -> tuple[str | None, Done]:
    last, done = events[-2:]
    assert isinstance(last, Delta)
    assert isinstance(done, Done)
    return last.finish_reason, done
