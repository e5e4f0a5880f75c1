"""Which file of a model is taken where several have it in different quantisations."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared import memory
from shared.catalogue.parts import names_of, number_of, whole_name
from shared.errors import ModelFileError
from shared.misfits import WrongFile

MOST_FILES = 10_000
"""Of a folder, with those in it, that are looked at."""
ROOM = 0.8
"""Share of the memory that is available which a file may take: a context wants some as well."""

_ORDER = (
    *("Q8_0", "Q4_K_M", "Q6_K", "Q5_K_M", "Q4_K_L", "Q4_K_XL", "Q5_K_L", "Q5_K_XL", "Q6_K_L", "Q6_K_XL", "Q5_K_S"),
    *("Q4_K_S", "IQ4_NL", "IQ4_XS", "Q4_0", "Q5_0", "Q5_1", "Q4_1", "MXFP4", "Q3_K_L", "Q3_K_XL", "Q3_K_M", "IQ3_M"),
    *("Q3_K_S", "IQ3_S", "IQ3_XS", "IQ3_XXS", "Q2_K_L", "Q2_K_XL", "Q2_K", "IQ2_M", "IQ2_S", "IQ2_XS", "IQ2_XXS"),
    *("Q8_K_XL", "F16", "BF16", "F32", "TQ2_0", "TQ1_0", "IQ1_M", "IQ1_S"),
)
"""Which is best of those that fit: the first loses next to nothing, the second little, and is much smaller."""
_KIND = re.compile(
    r"(?<![A-Z0-9])(?:UD-)?(I?Q\d(?:_(?:\d|[KSMLX]+|NL))*|TQ\d_\d|BF16|FP?16|FP?32|MXFP4)(?![A-Z0-9])", re.IGNORECASE
)
NO_MODEL = re.compile(r"(^|[-._/])(mmproj|imatrix|vocab|lora|adapter|control[-_]?vector)([-._/]|$)", re.IGNORECASE)
"""In the names of files that go with models."""


@dataclass(frozen=True, slots=True)
class Pick:
    """A file, with those that belong to it, and why."""

    files: tuple[str, ...]
    size: int
    """Bytes of them all."""
    quantisation: str
    why: str


def quantisation_of(name: str) -> str:
    """What the name of a file says that its weights are, as `Q4_K_M`; empty where it says nothing."""
    found: list[str] = _KIND.findall(whole_name(name).removesuffix(".gguf"))
    return found[-1].upper().replace("FP1", "F1").replace("FP3", "F3") if found else ""


def models_among(sizes: Mapping[str, int]) -> dict[tuple[str, ...], int]:
    """The models in GGUF among files, each as all of its files, with its bytes; those that lack a part are left out.

    `sizes` are bytes by name or path.
    """
    found = {}
    for name in sorted(sizes):
        if not name.lower().endswith(".gguf") or NO_MODEL.search(name) or (number_of(name) or (1, 1))[0] != 1:
            continue
        files = names_of(name)
        if all(file in sizes for file in files):
            found[files] = sum(sizes[file] for file in files)
    return found


def choose(sizes: Mapping[str, int], wanted: str, room: int, where: str) -> Pick:
    """The file that has the quantisation `wanted`, or else the best one for so many bytes of memory.

    `sizes` are the files that there are, `where` is how an error calls their place. Raises WrongFile.
    """
    models = models_among(sizes)
    kinds = {files: quantisation_of(files[0]) for files in models}
    if not models:
        some = ", ".join(sorted(sizes)[:3])
        raise WrongFile(f"{where}: there is no GGUF file of a model{f', but {some}' if some else ''}")
    there = f"there are {', '.join(sorted({kind or files[0] for files, kind in kinds.items()}))}"
    if wanted:
        wanted = wanted.upper().removeprefix("UD-")
        matching = [files for files in models if wanted == kinds[files]]
        if not matching:
            raise WrongFile(f"{where}: no file of it has the quantisation {wanted}; {there}")
        best = min(matching, key=lambda files: (len(files[0]), files))
        return Pick(best, models[best], kinds[best], "as was asked for")
    if len(models) == 1:
        [(best, size)] = models.items()
        return Pick(best, size, kinds[best], "there is no other")
    fitting = [files for files, size in models.items() if size <= room * ROOM]
    if not fitting:
        smallest = min(models.values())
        raise WrongFile(
            f"{where}: none of its files fits into the memory: the smallest has {_gigabytes(smallest)}, and"
            f" {_gigabytes(room)} are available; {there}, and whoever names one all the same gets it"
        )
    best = min(fitting, key=lambda files: (_rank(kinds[files]), len(files[0]), files))
    why = f"the best of {len(models)} for {_gigabytes(room)} of memory"
    return Pick(best, models[best], kinds[best], why)


def files_within(folder: Path) -> dict[str, int]:
    """The bytes of the files in a folder, and in those in it, by their paths in it. Raises OSError."""
    sizes: dict[str, int] = {}
    for place, folders, names in os.walk(folder, onerror=_fail):
        folders.sort()
        for name in sorted(names):
            path = Path(place) / name
            if path.is_file():
                sizes[str(path.relative_to(folder))] = path.stat().st_size
            if len(sizes) >= MOST_FILES:
                return sizes
    return sizes


def choose_within(folder: Path) -> Path:
    """The file of the model in a folder, of several the one that is best for this machine's memory.

    Raises ModelFileError.
    """
    try:
        sizes = files_within(folder)
    except OSError as exc:
        raise ModelFileError(f"{exc.filename or folder}: cannot be read: {exc.strerror}") from exc
    if "config.json" in sizes and any(name.endswith(".safetensors") for name in sizes):
        raise WrongFile(f"{folder}: a checkpoint; `inferq convert {folder} NAME.gguf` makes a GGUF file of it")
    return folder / choose(sizes, "", memory.available(), str(folder)).files[0]


def _fail(error: OSError) -> None:
    raise error


def _rank(kind: str) -> int:
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
