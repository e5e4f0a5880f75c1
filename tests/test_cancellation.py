"""Cancellation: who is told, and what is woken."""

from __future__ import annotations

import socket
import threading
from functools import partial

import pytest

from shared.cancellation import NEVER, Cancellation, abort, check, wait_for
from shared.errors import JobCancelled


def test_everybody_is_told_once_and_late_comers_at_once() -> None:
    told = list[str]()
    work = Cancellation()
    work.on_cancel(lambda: told.append("first"))
    work.on_cancel(lambda: told.append("second"))
    check(work)
    assert not told
    work.cancel()
    work.cancel()
    work.on_cancel(lambda: told.append("late"))
    assert told == ["first", "second", "late"]
    with pytest.raises(JobCancelled):
        check(work)


def test_who_waits_for_something_else_is_woken() -> None:
    work, changed = Cancellation(), threading.Condition()
    threading.Timer(0.05, work.cancel).start()
    with changed:
        wait_for(changed, lambda: True, work)
        with pytest.raises(JobCancelled):
            wait_for(changed, lambda: False, work)


def test_who_reads_is_woken() -> None:
    ours, theirs = socket.socketpair()
    work = Cancellation()
    with ours, theirs:
        work.on_cancel(partial(abort, ours))
        threading.Timer(0.05, work.cancel).start()
        assert ours.recv(1) == b""
    abort(ours)  # it is closed already


def test_what_nobody_can_cancel() -> None:
    NEVER.on_cancel(lambda: pytest.fail("it was called"))
    check(NEVER)
