"""What llama.cpp says that it would allocate for a model: asked once of a child, which is confined, and kept."""

from __future__ import annotations

import hashlib
import json
import logging
from bisect import bisect_left
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from shared import folders
from shared.config import ConfigError
from shared.errors import ModelLoadError
from shared.passing import is_passing
from shared.regular_file import read_bytes
from shared.whole_file import write_whole
from worker.engines.host_process import HostProcess
from worker.engines.llama_cpp_survey_host import SURVEYED
from worker.memory.sizes import PAD, Sizes

log = logging.getLogger("inferq.models")

PATIENCE = 30.0
"""Seconds that asking may take: no weights are read."""
MOST_KEPT = 512
"""Files of what was told, of which the latest stay."""
_LONGEST = 65_536
"""Bytes of what a child says."""
_GRID = tuple(PAD << doubled for doubled in range(10))
"""Tokens of the contexts that are asked for: twice as many each time, so that what lies between is told nearly as it
is. A child that asks for a larger one takes as much itself as a small model does."""
_FORM = 3
"""Of what is kept; another one is asked for anew."""


_failed: set[str] = set()
"""What this process has asked for in vain."""


@dataclass(frozen=True, slots=True)
class MemorySurvey:
    """What llama.cpp says of contexts of some sizes, ascending."""

    sizes: Mapping[int, Sizes]

    def of(self, context: int) -> Sizes:
        """Of any context: what a step takes grows evenly with it, or ever faster, and beyond those asked for evenly."""
        cells, known = -(-context // PAD) * PAD, list(self.sizes)
        above = known[min(bisect_left(known, cells), len(known) - 1)]
        if above == cells or above == known[0]:
            return self.sizes[above]
        below = known[(place := known.index(above)) - 1]
        part = (cells - below) / (above - below)
        low, high = asdict(self.sizes[below]), asdict(self.sizes[above])
        told = {name: int(low[name] + (high[name] - low[name]) * part) for name in low}
        if place > 1 and cells < above:  # where a sliding window is full, they grow more slowly from then on
            before = self.sizes[known[place - 2]].cells
            steepest = low["cells"] + (low["cells"] - before) * (cells - below) // (below - known[place - 2])
            told["cells"] = min(high["cells"], max(told["cells"], steepest))
        return Sizes(**told)

    def fixed(self, context: int) -> int:
        """Bytes of cells that do not grow with it where it is long: of sliding windows, and of recurrent states."""
        if len(contexts := list(self.sizes)) < 2:  # nobody goes back in a batch
            return 0
        before, last = contexts[-2:]
        grown = self.sizes[last].cells - self.sizes[before].cells
        cells = -(-context // PAD) * PAD
        return max(0, int(self.of(cells).cells - grown * cells / (last - before)))


def survey(identity: str, asked: Mapping[str, Any], *, alone: int = 0) -> MemorySurvey | None:
    """Of contexts of all sizes, or of one `alone`; None where llama.cpp does not tell.

    `asked` is what `llama_cpp_survey_host` needs to know but for the contexts, `identity` tells the files apart.
    """
    contexts = [alone] if alone else [*_GRID]
    given = {**asked, "contexts": contexts}
    named = {name: value for name, value in given.items() if name not in ("path", "reads", "title")}
    told = json.dumps([_FORM, identity, version("xllamacpp"), named], sort_keys=True)
    record = _kept_at(digest := hashlib.sha256(told.encode()).hexdigest()[:32])
    if digest in _failed:
        return None
    if record and (kept := _recall(record)):
        return kept
    try:
        found = _ask(given)
    except Exception as exc:  # noqa: BLE001 - a file that has taken over the child says anything
        log.warning("%s: llama.cpp does not tell what it would take, so an upper bound is: %s", asked["title"], exc)
        if not is_passing(exc):
            _failed.add(digest)
        return None
    if record:
        _remember(record, found)
    return found


def _ask(given: Mapping[str, Any]) -> MemorySurvey:
    """Raises ModelLoadError, and what reading another one's words may raise."""
    process = HostProcess("worker.engines.llama_cpp_survey_host")
    process.greet(given, PATIENCE)
    try:
        told = json.loads(read_bytes(process.directory / SURVEYED, _LONGEST))
    finally:
        process.kill()
        process.bury()
    return _read({int(context): told[str(context)] for context in given["contexts"]})


def _read(told: Mapping[int, Any]) -> MemorySurvey:
    sizes = {context: Sizes(**each) for context, each in told.items()}
    if not sizes or not all(
        type(size) is int and size >= 0 for each in sizes.values() for size in asdict(each).values()
    ):
        raise ModelLoadError("what it tells are no sizes")
    return MemorySurvey(dict(sorted(sizes.items())))


def _kept_at(digest: str) -> Path | None:
    """The file for what was told; None where there is no place for one."""
    with suppress(OSError, ConfigError):
        folders.make_private(folder := folders.cache() / "footprints")
        return folder / f"{digest}.json"
    return None


def _recall(record: Path) -> MemorySurvey | None:
    with suppress(OSError, ValueError, RecursionError, TypeError, LookupError, AttributeError, ModelLoadError):
        return _read({int(context): each for context, each in json.loads(read_bytes(record, _LONGEST)).items()})
    return None


def _remember(record: Path, found: MemorySurvey) -> None:
    with suppress(OSError):
        with write_whole(record, mode=0o600) as part:
            part.write_text(json.dumps({context: asdict(each) for context, each in found.sizes.items()}))
        kept = sorted(record.parent.glob("*.json"), key=lambda each: each.stat().st_mtime)
        for each in kept[:-MOST_KEPT]:
            each.unlink()
