"""A worker's part in a control group: a model is loaded as a worker loads it, and given prompts that fill its context.

`python -m tests.load.filled ENTRY SETTINGS`: the file by which to enter the group, and JSON: the model's `path`, how
many tokens it `fills` at most, and what a Config has. What came of it is one line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import closing
from pathlib import Path


def main() -> None:
    Path(sys.argv[1]).write_text(str(os.getpid()))

    import worker.process  # noqa: F401 - what a worker has in memory beside the engine
    from shared.catalogue import Model
    from shared.config import Config
    from shared.protocol import Completion, Sampling
    from tests.answers import run
    from worker import engines
    from worker.memory import DoesNotFit, footprint

    given = json.loads(sys.argv[2])
    model = Model("tried", "", Path(given.pop("path")), "llama.cpp", None)
    fills = given.pop("fills")
    config = Config(threads=1, batch_threads=1, **given)
    try:
        config = engines.fit(model, config)
    except DoesNotFit as exc:
        print(json.dumps({"refused": str(exc)}))  # noqa: T201 - it is the answer
        return
    needed = footprint(model, config)  # now: asking takes a child, too
    with closing(engines.load(model, config)) as engine:
        context = engine.card.context
        size = min(fills, context - 4)

        def fill(begin: int) -> int:
            prompt = tuple((begin + 7 * i) % 200 + 5 for i in range(size))
            task = Completion("tried", (prompt,), Sampling(seed=1, max_tokens=4, temperature=0.0, ignore_eos=True))
            return int(run(engine, task)[-1].usage.prompt_tokens)  # type: ignore[union-attr]  # it is the end

        told = fill(0)
        others = [threading.Thread(target=fill, args=(i,)) for i in range(1, config.slots)]
        for each in others:
            each.start()
        for each in others:
            each.join()
        numbers = {"context": context, "read": told, "calculated": needed.total, "compute": needed.compute}
        print(json.dumps(numbers))  # noqa: T201 - it is the answer


if __name__ == "__main__":
    main()
