"""The child that measures how fast a model is on this machine: with which threads, and how long a step takes.

It ends when it has said, in the file MEASURED of its directory, what it found: see `Measured` beside it. It takes a
few seconds, of which each phase has a part, however slow the machine is: then there are fewer sizes and tries.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from worker.engines.child import HostEnd
from worker.engines.libllama_timing import READ, TimedContext, Timing

MEASURED = "measured.json"
SIZES = (16, 32, 64, 128, 256, 512)
"""Tokens of a step."""
_SHALLOW = 1024
_DEEPEST, _MOST_MEMORY = 8192, 256 << 20
"""Cells, and bytes of them: beyond, attention takes longer in proportion."""
_TRIES = 3
_THREADS_UNTIL, _SHALLOW_UNTIL, _DEEP_UNTIL = 1.2, 2.4, (6.0, 9.0)
"""Seconds after which each phase ends, since the first of them began; the last has two parts."""
_BURST = 4
"""Tokens, one after the other, that are timed together."""


def main() -> None:
    child = HostEnd()
    parameters = child.parameters
    print(f"measuring {parameters['path']}", file=sys.stderr, flush=True)  # noqa: T201 - stderr is the host's log

    import xllamacpp.xllamacpp  # after `HostEnd`, which ties this process to the worker

    from worker.engines.libllama import (
        ATTENTION_AUTO,
        ATTENTION_FLASH,
        ATTENTION_PLAIN,
        F16,
        F32,
        Q8_0,
        Library,
        UnknownLibrary,
    )

    child.confine()
    kind = F32 if parameters["exact"] else Q8_0 if parameters["kv_cache"] else F16
    try:
        model = Library(xllamacpp.xllamacpp.__file__).load(parameters["path"], repacked=True)

        def context(cells: int, attention: int = ATTENTION_AUTO) -> TimedContext:
            return model.timed_context(
                parameters["lora"],
                n_ctx=cells,
                n_batch=SIZES[-1],
                n_ubatch=SIZES[-1],
                n_seq_max=2,
                n_threads=1,
                n_threads_batch=1,
                rope_freq_base=parameters["rope_freq_base"],
                rope_freq_scale=parameters["rope_freq_scale"],
                type_k=kind,
                type_v=kind,
                flash_attn_type=attention,
                kv_unified=True,
                swa_full=False,
            )

        kinds = {"": ATTENTION_AUTO, "plain": ATTENTION_PLAIN} if parameters["alone"] else {"": ATTENTION_AUTO}
        if named := "plain" if parameters["exact"] else parameters["attention"]:
            kinds = {named: {"plain": ATTENTION_PLAIN}.get(named, ATTENTION_FLASH)}
        found = Stopwatch(context, kinds, parameters["limit"]).measure(
            parameters["tried"], parameters["batch_tried"], parameters["context"]
        )
    except (UnknownLibrary, RuntimeError) as exc:
        sys.exit(f"llama.cpp cannot be measured with this model: {exc}")
    (Path(parameters["directory"]) / MEASURED).write_text(json.dumps(found))
    child.ready(0.0)


class Stopwatch:
    """Times a model in contexts that `make` makes, of so many cells and of one of the `kinds` of attention; steps above
    `limit` seconds are of no use."""

    def __init__(self, make: Callable[[int, int], TimedContext], kinds: dict[str, int], limit: float) -> None:
        self._make, self._kinds, self._limit = make, kinds, limit
        self._begun = time.monotonic()
        self._share = 1.0

    def measure(self, tried: list[int], batch_tried: list[int], full: int) -> dict[str, object]:
        """`full` is a full context, in tokens."""
        shallow = self._make(_SHALLOW, min(self._kinds.values()))
        self._begun = time.monotonic()
        shallow.time(SIZES[0], 0, batch_tried[-1])  # the first is slower
        single, batch = self._threads(shallow, tried, batch_tried)
        threads = min(batch, key=batch.__getitem__)
        steps = self._steps(shallow, 0, threads, SIZES, _SHALLOW_UNTIL)
        shallow.time(READ, 0, threads)
        depth = min(full, _DEEPEST, max(_SHALLOW, _MOST_MEMORY * READ // len(shallow.state())))
        deep = dict[str, list[tuple[int, float]]]()
        for (name, kind), until in zip(self._kinds.items(), _DEEP_UNTIL, strict=False):
            context = self._make(depth + 2 * READ + SIZES[-1], kind)
            context.time(READ, 0, threads)
            reached = context.fill(depth)
            deep[name] = list(self._steps(context, READ, threads, (1, *steps), until, every=True).items())
        return {
            "single": list(single.items()),
            "batch": list(batch.items()),
            "steps": list(steps.items()),
            "deep": deep,
            "depth": reached,
            "share": self._share,
        }

    def _threads(
        self, context: TimedContext, tried: list[int], batch_tried: list[int]
    ) -> tuple[dict[int, float], dict[int, float]]:
        """Seconds of a token of one answer, and of a step of a prompt, by threads: in turns, the best of each."""
        single, batch = dict[int, Timing](), dict[int, Timing]()
        while True:
            for threads in tried:
                burst = [context.time(1, SIZES[0] + i, threads) for i in range(_BURST)]
                seconds = sum(each.seconds for each in burst)
                share = sum(each.share * each.seconds for each in burst) / seconds
                _keep(single, threads, Timing(seconds / _BURST, share))
            for threads in batch_tried:
                _keep(batch, threads, context.time(2 * SIZES[0], 0, threads))
            if self._late(_THREADS_UNTIL) or len(tried) == len(batch_tried) == 1:
                return self._best(single), self._best(batch)

    def _steps(
        self,
        context: TimedContext,
        past: int,
        threads: int,
        sizes: tuple[int, ...],
        until: float,
        *,
        every: bool = False,
    ) -> dict[int, float]:
        """Seconds of steps of each size, up to the first that takes too long, or `every` one."""
        found = dict[int, Timing]()
        for size in sizes:
            for _ in range(_TRIES):
                _keep(found, size, context.time(size, past, threads))
                if self._late(until):
                    return self._best(found)
                if found[size].seconds > self._limit:
                    break
            if found[size].seconds > self._limit and not every:
                break
        return self._best(found)

    def _late(self, until: float) -> bool:
        return time.monotonic() - self._begun > until

    def _best(self, found: dict[int, Timing]) -> dict[int, float]:
        self._share = min([self._share, *(each.share for each in found.values())])
        return {what: each.seconds for what, each in found.items()}


def _keep(found: dict[int, Timing], what: int, timed: Timing) -> None:
    """The shortest of a few is the one that others have disturbed least."""
    if what not in found or timed.seconds < found[what].seconds:
        found[what] = timed


if __name__ == "__main__":
    main()
