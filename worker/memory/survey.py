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
_FORM = 4
"""Of what is kept; another one is asked for anew."""


_failed: set[str] = set()
"""What this process has asked for in vain."""


@dataclass(frozen=True, slots=True)
class MemorySurvey:
    """What llama.cpp says of contexts of some sizes, ascending."""

    sizes: Mapping[int, Sizes]
    window: int = 0
    """Tokens that layers with a sliding window look back on, of all slots together."""
    step: int = 0
    """Tokens for which such layers have cells beside the window."""

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
        cells = -(-context // PAD) * PAD
        return max(0, int(self.of(cells).cells - self._slope(*contexts[-2:]) * cells))

    def kept(self, context: int) -> int:
        """Bytes of one state of each slot, to go back to: without the cells for a step that a sliding window has."""
        contexts, cells = list(self.sizes), -(-context // PAD) * PAD
        if len(contexts) < 2:
            return 0
        if self.window + self.step > contexts[-2]:  # it is not seen where they end to grow
            return self.of(min(self.window, cells)).cells
        a_cell = max(0.0, self._slope(*contexts[:2]) - self._slope(*contexts[-2:]))
        there = min(-(-(self.window + min(self.step, cells)) // PAD) * PAD, cells)
        return self.fixed(context) - int(a_cell * (there - min(self.window, there)) * bool(self.window))

    def _slope(self, low: int, high: int) -> float:
        """Bytes of a token's cells, between two contexts."""
        return (self.sizes[high].cells - self.sizes[low].cells) / (high - low)


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
    if record and (kept := _recall(record, given)):
        return kept
    try:
        told = _ask(given)
        found = _read(told, given)
    except Exception as exc:  # noqa: BLE001 - a file that has taken over the child says anything
        log.warning("%s: llama.cpp does not tell what it would take, so an upper bound is: %s", asked["title"], exc)
        if not is_passing(exc):
            _failed.add(digest)
        return None
    if record:
        _remember(record, told)
    return found


def _ask(given: Mapping[str, Any]) -> Any:
    """What the child says. Raises ModelLoadError, and what reading another one's words may raise."""
    process = HostProcess("worker.engines.llama_cpp_survey_host")
    process.greet(given, PATIENCE)
    try:
        return json.loads(read_bytes(process.directory / SURVEYED, _LONGEST))
    finally:
        process.kill()
        process.bury()


def _read(told: Mapping[str, Any], asked: Mapping[str, Any]) -> MemorySurvey:
    sizes = {context: Sizes(**told[str(context)]) for context in sorted(asked["contexts"])}
    numbers = [told["window"], *(size for each in sizes.values() for size in asdict(each).values())]
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise ModelLoadError("what it tells are no sizes")
    return MemorySurvey(sizes, told["window"] * asked["slots"], asked["step"])


def _kept_at(digest: str) -> Path | None:
    """The file for what was told; None where there is no place for one."""
    with suppress(OSError, ConfigError):
        folders.make_private(folder := folders.cache() / "footprints")
        return folder / f"{digest}.json"
    return None


def _recall(record: Path, asked: Mapping[str, Any]) -> MemorySurvey | None:
    with suppress(OSError, ValueError, RecursionError, TypeError, LookupError, AttributeError, ModelLoadError):
        return _read(json.loads(read_bytes(record, _LONGEST)), asked)
    return None


def _remember(record: Path, told: Any) -> None:
    with suppress(OSError):
        with write_whole(record, mode=0o600) as part:
            part.write_text(json.dumps(told))
        kept = sorted(record.parent.glob("*.json"), key=lambda each: each.stat().st_mtime)
        for each in kept[:-MOST_KEPT]:
            each.unlink()
