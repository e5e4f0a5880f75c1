"""`inferq` without a garbage collector, that tells on a signal what only one would have found.

    python -P tests/circles.py FILE gateway

A process that gets SIGPROF writes into FILE what lies in circles: a line with its name for each.
"""

from __future__ import annotations

import gc
import signal
import sys
from pathlib import Path
from types import FrameType, FunctionType, GeneratorType
from typing import Any

from inferq.cli import main


def _tell(number: int, frame: Any) -> None:
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    names = sorted(map(_name, gc.garbage))
    gc.set_debug(0)
    gc.garbage.clear()
    part = file.with_suffix(".part")
    part.write_text("".join(f"{name}\n" for name in names))
    part.rename(file)


def _name(thing: object) -> str:
    if isinstance(thing, FunctionType):
        return f"{thing.__module__}.{thing.__qualname__}"
    if isinstance(thing, GeneratorType):
        thing = thing.gi_frame
    if isinstance(thing, FrameType):
        return f"{thing.f_globals['__name__']}.{thing.f_code.co_qualname}"
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


if __name__ == "__main__":
    file = Path(sys.argv.pop(1))
    gc.disable()
    signal.signal(signal.SIGPROF, _tell)
    main()
