"""A process that prepares weights, and is in the middle of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HELD = """
import sys, time
from pathlib import Path
from worker.formats import rewrite
from worker.formats.preparation import prepare
quantise_rows = rewrite.quantise_rows
def slowly(rows, kind):
    print("writing", flush=True)
    time.sleep(60)
rewrite.quantise_rows = slowly
prepare(Path(sys.argv[1]), compare=lambda shapes, *_: dict.fromkeys(shapes, [1.0, 1.5, 2.0]))
"""


@contextmanager
def held(model: Path) -> Iterator[subprocess.Popen[bytes]]:
    """It has begun to write those of this model, and is killed at the end."""
    with subprocess.Popen([sys.executable, "-c", _HELD, str(model)], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"writing\n"
            yield process
        finally:
            process.kill()
