"""Weights that were prepared for this CPU: where they lie, and what was found out about them.

Of a GGUF file with weights of a type for which llama.cpp has no kernels of many rows there is a *measurement* in the
cache, one for each kind of machine that has looked at it: how many times as fast the same weights of another type would
be. Where that pays, there is a second file beside, the *prepared* one.
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from shared import checksums, folders
from shared.cores import usable
from shared.errors import ModelFileError
from shared.regular_file import read_bytes
from shared.whole_file import remove_abandoned, write_whole
from worker.formats.ggml import NAMES
from worker.formats.gguf import read_header
from worker.formats.gguf_parts import with_parts

REVISION = 1
"""Counts what changes the outcome, so that the cache is not asked for what an older inferq has made."""
WANTED = 8
"""Q8_0: it loses next to nothing of any other, and of Q5_0 nothing at all, and has fast kernels on every CPU."""
SLOW = {3, 6, 7}
"""Q4_1, Q5_0 and Q5_1. No CPU has kernels of llama.cpp for them that compute with many rows at once, see
`ggml_repack_get_optimal_repack_type` in https://github.com/ggml-org/llama.cpp/blob/master/ggml/src/ggml-cpu/repack.cpp
(all others of four and five bits it has there for some)."""
_LEAST = (0.9, 1.1, 1.1)
"""How many times as fast it has to be, by `TOKENS` of `trial.py`: a bit slower with one answer where all else gains."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one kind of machine has found out about a file."""

    digest: str
    """SHA-256 of the file, or over those of its parts."""
    sources: tuple[str, ...]
    """Where files of that content were."""
    speeds: Mapping[int, tuple[float, ...]]
    """For each ggml type: how many times as fast Q8_0 is, for each of `TOKENS` in `trial.py`."""
    failed: str = ""
    """Why there are no speeds."""

    @property
    def kinds(self) -> tuple[int, ...]:
        """The types for which it pays."""
        pays = (kind for kind, found in self.speeds.items() if all(x >= y for x, y in zip(found, _LEAST, strict=True)))
        return tuple(sorted(pays))

    @property
    def why(self) -> str:
        """Why there are no other weights."""
        return str(self) if self.failed else f"other weights do not pay: {self}"

    @property
    def names(self) -> str:
        return ", ".join(NAMES[kind] for kind in self.kinds or sorted(self.speeds))

    def __str__(self) -> str:
        if self.failed:
            return f"{self.failed}; `inferq pull` tries again"
        told = []
        for kind in self.kinds or sorted(self.speeds):
            one, eight, prompts = self.speeds[kind]
            speeds = (
                f"{one:.2f} times as fast with one answer, {eight:.2f} with eight, {prompts:.2f} in reading prompts"
            )
            told.append(f"{NAMES[WANTED]} in place of {NAMES[kind]}, here {speeds}")
        return "; ".join(told)


def folder() -> Path:
    """Raises OSError where the user has no home."""
    return folders.cache_if_any() / "models" / "prepared"


def file_of(found: Measurement, stem: str) -> Path:
    """Where the prepared file of a measurement is, or would be."""
    kinds = "+".join(NAMES[kind].lower() for kind in found.kinds)
    return folder() / f"{stem}-{found.digest[:16]}-{kinds}-{NAMES[WANTED].lower()}-{REVISION}.gguf"


def read(digest: str) -> Measurement | None:
    """What this kind of machine knows of a file."""
    known = _parse(_place(digest))
    return known if known and known.digest == digest else None


def keep(found: Measurement) -> None:
    """Raises OSError."""
    _write(_place(found.digest), found)


def find(path: Path) -> tuple[Measurement, Path | None] | None:
    """What is known here of a model's file, and the prepared one where there is one. For those who show it: a file of
    which nothing is known is not read."""
    with suppress(OSError, ModelFileError):
        if any(str(path.absolute()) in known.sources for _, known in _records(f"*-{_machine()}.json")):
            known = read(identify(path))
            made = file_of(known, path.stem) if known and known.kinds else None
            return (known, made if made and made.is_file() else None) if known else None
    return None


def identify(path: Path) -> str:
    """The SHA-256 of a GGUF file, or over those of its parts; mostly remembered. Raises OSError, ModelFileError."""
    _, parts = with_parts(path, read_header(path))
    found = [checksums.digest(part) for part in parts]
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def sweep(path: Path, digest: str = "") -> None:
    """Remove what was prepared of files that are gone, or have become others, as that at `path` has unless its digest
    is this one. Raises OSError."""
    live = set()
    for place, known in _records("*.json"):
        sources = [
            s for s in known.sources if Path(s).exists() and (known.digest == digest or s != str(path.absolute()))
        ]
        if not sources:
            place.unlink(missing_ok=True)
            continue
        live.add(known.digest[:16])
        if len(sources) < len(known.sources):
            _write(place, replace(known, sources=tuple(sources)))
    remove_abandoned(folder())  # else the disk may never again have room for another
    for made in folder().glob("*.gguf"):
        if not any(f"-{name}-" in made.name for name in live):
            made.unlink(missing_ok=True)


def _records(pattern: str) -> list[tuple[Path, Measurement]]:
    parsed = ((path, _parse(path)) for path in sorted(folder().glob(pattern)))
    return [(path, found) for path, found in parsed if found]


def _parse(path: Path) -> Measurement | None:
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        known = json.loads(read_bytes(path))
        speeds = {int(kind): tuple(map(float, found)) for kind, found in known["speeds"].items()}
        if all(kind in SLOW and len(found) == len(_LEAST) for kind, found in speeds.items()):
            failed = str(known.get("failed", ""))
            return Measurement(str(known["digest"]), tuple(map(str, known["sources"])), speeds, failed)
    return None


def _write(place: Path, found: Measurement) -> None:
    with write_whole(place) as part:
        part.write_text(json.dumps(asdict(found)))


def _place(digest: str) -> Path:
    return folder() / f"{digest[:16]}-{_machine()}.json"


@functools.cache
def _machine() -> str:
    """Eight hex digits over what the speeds depend on: the CPU, how much of it is ours, and the library."""
    told: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            told.setdefault(name.strip(), value.strip())
    names = ("model name", "CPU implementer", "CPU part", "Features", "flags", "isa", "cpu")
    try:
        library = version("xllamacpp")
    except PackageNotFoundError:
        library = ""
    machine = [platform.machine(), usable(), library, *(told.get(name, "") for name in names)]
    return hashlib.sha256(repr(machine).encode()).hexdigest()[:8]
