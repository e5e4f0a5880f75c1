"""A worker's part in a control group: a model is loaded as a worker loads it, and given work that fills its context.

`python -m tests.load.filled ENTRY SETTINGS`: the file by which to enter the group, and JSON: what a `model` has, how
many tokens it `fills` at most, whether a prompt is `scored` then, and what a Config has. What came of it is one line of
JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.catalogue import Model
    from worker.engines import Engine

_BESIDE = 256
"""Tokens of the prompts of all slots but the first."""
_TURNS, _TURN = 8, 5
"""Of a conversation, in which all states come to be kept that may be; and tokens by which each is longer: with as few
all states are nearly as large as the last one."""


def main() -> None:
    Path(sys.argv[1]).write_text(str(os.getpid()))

    import worker.process  # noqa: F401 - what a worker has in memory beside the engine
    from shared.card import Ability
    from shared.config import Config
    from shared.errors import InferqError
    from worker import engines
    from worker.memory import DoesNotFit, footprint

    given = json.loads(sys.argv[2])
    model, fills, scored = make_model(given.pop("model")), given.pop("fills"), given.pop("scored", False)
    config = Config(threads=1, batch_threads=1, **given)
    try:
        config = engines.fit(model, config)
    except DoesNotFit as exc:
        print(json.dumps({"refused": str(exc)}))  # noqa: T201 - it is the answer
        return
    needed = footprint(model, config)  # now: asking takes a child, too
    told = {"calculated": needed.total, "parts": dict(needed.parts()), "bound": not needed.measured}
    with closing(engines.load(model, config)) as engine:
        context = engine.card.context
        size = min(fills, context - 4)
        if Ability.EMBEDDING in engine.card.capabilities:
            read = embed(engine, size)
        else:
            read = generate(engine, size, config.slots, turns=bool(needed.cache))
        told |= {"context": needed.context, "read": read}
        if scored:
            try:
                told["scored"] = sum(1 for _ in engine.scorer.score(prompt(0, min(size, 300))))
            except InferqError as exc:
                told["unscored"] = f"{type(exc).__name__}: {exc}"
        print(json.dumps(told))  # noqa: T201 - it is the answer


def make_model(given: dict[str, Any]) -> Model:
    from shared.catalogue import Model

    draft, lora = given.get("draft"), tuple((Path(path), scale) for path, scale in given.get("lora", ()))
    return Model(
        "tried",
        "",
        Path(given["path"]),
        given["engine"],
        None,
        architecture=given.get("architecture", ""),
        lora=lora,
        draft=Path(draft) if draft else None,
    )


def prompt(begin: int, size: int, words: int = 200) -> tuple[int, ...]:
    return tuple((begin + 7 * i) % words + 5 for i in range(size))


def generate(engine: Engine, size: int, slots: int, *, turns: bool) -> int:
    """Returns how many tokens were read of the longest prompt. `turns`: each slot has a conversation before."""
    from shared.protocol import Completion, Sampling
    from tests.answers import run

    def fill(begin: int, size: int) -> int:
        sampling = Sampling(seed=1, max_tokens=4, temperature=0.0, ignore_eos=True)
        ended = run(engine, Completion("tried", (prompt(begin, size),), sampling))[-1]
        return int(ended.usage.prompt_tokens)  # type: ignore[union-attr]  # it is the end

    def converse(begin: int) -> None:
        for turn in range(1, _TURNS + 1):
            fill(begin, size // slots - _TURN * (_TURNS - turn))

    if turns:
        at_once(partial(converse, i) for i in range(slots))
    read = fill(0, size)
    at_once(partial(fill, i, min(size, _BESIDE)) for i in range(1, slots))
    return read


def at_once(calls: Iterable[Callable[[], object]]) -> None:
    """Raises what one of them raises."""
    several = list(calls)
    with ThreadPoolExecutor(max(1, len(several))) as pool:
        for each in [pool.submit(call) for call in several]:
            each.result()


def embed(engine: Engine, size: int) -> int:
    from shared.protocol import Embedding

    task = Embedding("tried", tuple(prompt(i, size, 10) for i in range(2 * engine.pooler.width)))
    at_once(partial(engine.pooler.pool, task, places) for places in engine.pooler.divide(task))
    return size


if __name__ == "__main__":
    main()
