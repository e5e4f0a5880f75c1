"""The live view of `inferq status --watch`: drawn in its place until Ctrl-C or q."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis import Redis
from rich.console import Console, Group
from rich.live import Live

from gateway.archive.archive import Archive
from gateway.directory import Directory
from gateway.estimate import Estimator
from gateway.overview import Overviews
from inferq.batches import unfinished
from inferq.batches.unfinished import UnfinishedBatch
from inferq.tools.terminal import exit_quietly
from inferq.watch.marks import BLOCKS, PLAIN
from inferq.watch.page import arrange
from inferq.watch.sections import head, sections
from shared.config import Config
from shared.history import ALL
from shared.loops import Loops
from shared.store import Outage
from shared.tickets import Tickets

_GLANCE = 0.1
"""Seconds between two looks at the size of the terminal."""


def watch(console: Console, client: Redis, archive: Archive, config: Config, period: float) -> None:
    """Look every `period` seconds. Raises what Redis does at the first time; later the page says so, and goes on."""
    source = observer(client, config)
    overview, batches, trouble = source.whole(ALL), unfinished.look(archive), ""
    view = Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
    with exit_quietly(), suppress(KeyboardInterrupt), _keys() as pressed, view:
        looked = time.monotonic()
        while True:
            size = console.size
            view.update(page(console, overview, batches, trouble), refresh=True)
            while console.size == size and time.monotonic() < looked + period:
                if pressed() in ("q", "\x04"):
                    return
            if time.monotonic() >= looked + period:
                try:
                    overview, batches, trouble = source.whole(ALL), unfinished.look(archive), ""
                except Outage as exc:
                    trouble = f"Redis does not answer: {exc}"
                looked = time.monotonic()


def observer(client: Redis, config: Config) -> Overviews:
    """What a gateway has, without one; nothing runs for it between two looks."""
    tickets = Tickets(client)
    return Overviews(client, Directory(client, tickets, Loops(), config), Estimator(tickets))


def page(console: Console, overview: dict[str, Any], batches: list[UnfinishedBatch], trouble: str = "") -> Group:
    """What fits a terminal of this size."""
    width, height = console.size
    ink = PLAIN if console.options.ascii_only else BLOCKS
    return arrange(head(overview, trouble), sections(overview, batches, width, ink), width, height)


def _no_key() -> str:
    time.sleep(_GLANCE)
    return ""


@contextmanager
def _keys() -> Iterator[Callable[[], str]]:
    """What waits a moment for a key, and tells it. Keys are not shown meanwhile."""
    try:
        keyboard = sys.stdin.fileno()
        before = termios.tcgetattr(keyboard)
    except (termios.error, OSError, ValueError):
        yield _no_key
        return

    def pressed() -> str:
        if not select.select([keyboard], [], [], _GLANCE)[0]:
            return ""
        return os.read(keyboard, 1).decode(errors="replace") or "q"  # it is gone

    tty.setcbreak(keyboard)
    try:
        yield pressed
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
