"""Why a suite has failed, in a few lines of what it has printed: `why.py LOG LINES`.

Of pytest: which tests, what they assert and where; of others the last lines. What the parts have logged is left out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

WIDTH = 200
"""Characters of a line that are shown."""
OF_A_TEST = 6
"""Lines that are shown of what a test asserts, which may be a long comparison."""
_LOGGED = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z [A-Z]+ ")
_BEGIN = re.compile(r"=+ (FAILURES|ERRORS) =+")
_END = re.compile(r"=+ .*(failed|error|passed).* =+|(FAILED|ERROR) .*")
_TOLD = re.compile(r"_{3,} [^_].* _{3,}|E  .*|\S+:\d+: \S+|!+ .* !+")


def why(printed: Sequence[str], most: int) -> list[str]:
    """The lines that tell it, at most so many."""
    lines = [line.rstrip() for line in printed if not _LOGGED.match(line)]
    begin = next((place for place, line in enumerate(lines) if _BEGIN.fullmatch(line)), None)
    told = [line for line in lines if line] if begin is None else list(_of_pytest(lines[begin:]))
    if len(told) > most:
        head = 0 if begin is None else most // 2
        told = [*told[:head], "…", *told[len(told) - (most - head - 1) :]]
    return [line[:WIDTH] for line in told]


def _of_pytest(lines: Sequence[str]) -> Iterator[str]:
    """Which tests have failed, how, and at the end their list."""
    for asserted, several in groupby(lines, lambda line: line.startswith("E  ")):
        found = [line for line in several if _TOLD.fullmatch(line) or _END.fullmatch(line)]
        yield from found[:OF_A_TEST] if asserted else found


if __name__ == "__main__":
    text = Path(sys.argv[1]).read_text(errors="replace")
    sys.stdout.writelines(f"{line}\n" for line in why(text.splitlines(), int(sys.argv[2])))
