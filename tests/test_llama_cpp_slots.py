"""Slots of llama.cpp: whose job is over has left its own, and nobody waits within llama.cpp."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress

import pytest

from shared.cancellation import Cancellation
from shared.config import Config
from shared.errors import JobCancelled
from shared.protocol import Event
from tests.answers import Running, finish, host_of, run
from tests.tiny import greedy, loaded, tiny
from worker.engines.cells import Share
from worker.engines.llama_cpp import LlamaCppEngine


def cancel(work: Cancellation, events: Iterator[Event]) -> None:
    work.cancel()
    with suppress(JobCancelled):
        list(events)


def close(work: Cancellation, events: Iterator[Event]) -> None:
    getattr(events, "close")()  # noqa: B009 - an iterator has none by its type


@pytest.mark.parametrize("end", [cancel, close])
def test_a_run_is_over_when_its_host_has_left_the_slot(end: Callable[[Cancellation, Iterator[Event]], None]) -> None:
    with loaded() as engine:
        # A whole answer takes the host 25 ms: where this process is kept waiting, it has left before it is stopped.
        assert any(is_held(engine, end) for _ in range(20))
        assert finish(run(engine, greedy("a", 5)))[1].usage.completion_tokens == 5


def is_held(engine: LlamaCppEngine, end: Callable[[Cancellation, Iterator[Event]], None]) -> bool:
    """Whether a run that is ended waits for its host, which is stopped so that it leaves nothing."""
    work, over = Cancellation(), threading.Event()
    events = engine.run(greedy("a"), work)
    next(events)
    os.kill(host_of(engine), signal.SIGSTOP)

    def leave() -> None:
        end(work, events)
        over.set()

    thread = threading.Thread(target=leave)
    thread.start()
    early = over.wait(1)
    os.kill(host_of(engine), signal.SIGCONT)
    assert over.wait(60)
    thread.join()
    return not early


def test_an_answer_that_waits_for_cells_ends_when_its_time_is_over() -> None:
    with closing(LlamaCppEngine(tiny(), Config(slots=2, threads=1, max_seconds=0.5))) as engine:
        context = engine.card.context
        engine._cells.enter(Share(context, context))
        reason, done = finish(list(engine.run(greedy("a", 5), Running())))
        assert (reason, done.usage.completion_tokens) == ("length", 0)
