"""What goes on beside a proof or a measurement: where it fails, that is told, and nobody waits for it without an end.

Bounds are seconds on a fast machine that is quiet; only where they are over is it asked how much slower this one is.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

from tests.pace import slowness


class Helper(threading.Thread):
    """A thread that does not keep its process. Whoever waits for its end is told why it failed."""

    def __init__(self, work: Callable[..., object], *arguments: Any) -> None:
        super().__init__(target=work, args=arguments, daemon=True)
        self.failure: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            super().run()
        except BaseException as exc:  # noqa: BLE001 - whatever it is, `finish` raises it
            self.failure = exc

    def finish(self, seconds: float, progress: Callable[[], object] = lambda: None) -> None:
        """Wait for its end, for so long at most since what is said of its `progress` was another one.

        Raises what it has raised, or AssertionError where it goes on.
        """
        while self.is_alive():
            before = progress()
            self.join(seconds)
            if self.is_alive() and progress() == before:
                self.join(seconds * (slowness() - 1))
                assert not self.is_alive() or progress() != before, f"{self.name} does not go on for {seconds:g} s"
        if self.failure:
            raise self.failure


def at_once(works: Iterable[Callable[[], object]], seconds: float) -> None:
    """All of these, each in a thread. Raises what the first of those has raised that failed."""
    for helper in [Helper(work) for work in works]:
        helper.finish(seconds)


@asynccontextmanager
async def beside(*tasks: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let these go on until the context ends, which is given up where one of them fails."""
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(each) for each in tasks]
            yield
            for task in running:
                task.cancel()
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None


async def within(seconds: float, waiting: Coroutine[Any, Any, object], what: str) -> None:
    """Wait for so long at most. Raises AssertionError where `what` has not happened by then."""
    task = asyncio.ensure_future(waiting)
    try:
        if not (await asyncio.wait([task], timeout=seconds))[0]:
            await asyncio.wait([task], timeout=seconds * (slowness() - 1))
        assert task.done(), f"{what} did not happen within {seconds:g} s"
        await task
    finally:
        task.cancel()
