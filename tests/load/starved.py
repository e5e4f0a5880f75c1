"""A worker's part in a control group in which somebody else takes the memory that its engine host has.

`python -m tests.load.starved ENTRY FILE`: the file by which to enter the group, and the model's. What came of it is one
line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

_BALLOON = """
import time
from shared.memory import kills
taken, before = [], kills()
while kills() == before:
    taken.append(b"1" * (1 << 20))
    time.sleep(0.01)
time.sleep(600)  # it has what it has
"""
"""It looks itself, at what the system counts: a host that is killed gives back its memory long before it has ended,
where it gets no core, and who goes on until then is killed as well."""
_PATIENCE = 60.0


def main() -> None:
    entry, path = sys.argv[1:]
    Path(entry).write_text(str(os.getpid()))

    from shared.config import Config
    from shared.errors import InferqError
    from shared.memory import kills
    from tests.answers import run
    from tests.tiny import greedy, tiny
    from worker import engines
    from worker.engines.host_process import living

    def ask() -> str:
        try:
            run(engine, greedy((5, 6, 7), 2))
        except InferqError as exc:
            return f"{type(exc).__name__}: {exc}"
        return ""

    with closing(engines.load(tiny(Path(path)), Config(slots=1, threads=1))) as engine:
        told, killed = {"before": ask()}, kills()
        [host] = living()
        Path(f"/proc/{host}/oom_score_adj").write_text("1000")  # so that the system chooses it
        balloon = subprocess.Popen([sys.executable, "-c", _BALLOON])
        until = time.monotonic() + _PATIENCE
        while lives(host) and time.monotonic() < until:
            time.sleep(0.001)
        until = time.monotonic() + _PATIENCE
        while not engine.trouble and time.monotonic() < until:
            time.sleep(0.2)
        told |= {"trouble": engine.trouble, "meanwhile": ask()}
        balloon.kill()
        balloon.wait()
        while (after := ask()) and time.monotonic() < until:
            time.sleep(0.5)
        told["after"] = after
    print(json.dumps({**told, "killed": kills() - killed}))  # noqa: T201 - it is the answer


def lives(pid: int) -> bool:
    with suppress(OSError):
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


if __name__ == "__main__":
    main()
