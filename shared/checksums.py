"""SHA-256 of large files, remembered: what has not changed since it was hashed is not read again.

A file has not changed while its device, inode, size and times are the same: whoever may write to it can set the time of
its content, but not that of its inode. What is remembered lies in a folder that nobody else may write to; where there
is none, a file is hashed at each look.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from shared import folders
from shared.progress import step
from shared.regular_file import open_regular, read_bytes
from shared.whole_file import write_whole

_FRESH = 2.0
"""Seconds in which a file may change again without a change of its times: so long its digest is not kept."""

_PIECE = 1 << 20
"""Bytes that are read at once."""


def digest(path: Path) -> str:
    """In hex digits. Raises OSError."""
    with open_regular(path) as file:
        identity, known = _identify(file.fileno()), _recall(path)
        if known.get("identity") == identity and isinstance(known.get("digest"), str):
            return str(known["digest"])
        found = _hash(file)
        settled = time.time() - os.fstat(file.fileno()).st_ctime > _FRESH
        if settled and _identify(file.fileno()) == identity:
            _remember(path, known | {"identity": identity, "digest": found})
    return found


def _hash(file: BinaryIO) -> str:
    found = hashlib.sha256()
    with step("its file is being checked", os.fstat(file.fileno()).st_size) as checking:
        while piece := file.read(_PIECE):
            found.update(piece)
            checking.advance(len(piece))
    return found.hexdigest()


def vouch(path: Path) -> None:
    """Say of a file that was just made that it is as it should be. Raises OSError."""
    _remember(path, {"vouched": digest(path)})


def is_vouched(path: Path) -> bool:
    """Whether a file is what was vouched for, or what it was at the first look at it. Raises OSError."""
    known = _recall(path)
    if "vouched" not in known:
        vouch(path)
        return True
    return digest(path) == str(known["vouched"])


def _identify(fd: int) -> list[int]:
    told = os.fstat(fd)
    return [told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns]


def _recall(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError, RecursionError):
        known = json.loads(read_bytes(_record(path)))
        if isinstance(known, dict):
            return known
    return {}


def _remember(path: Path, known: dict[str, Any]) -> None:
    """As far as there is a place for it; forgets files that are gone."""
    with suppress(OSError):
        record = _record(path)
        with write_whole(record, mode=0o600) as part:
            part.write_text(json.dumps(known | {"path": str(path.absolute())}))
        for other in record.parent.glob("*.json"):
            with suppress(OSError, ValueError, RecursionError, TypeError, KeyError):
                if not Path(json.loads(read_bytes(other))["path"]).exists():
                    other.unlink()


def _record(path: Path) -> Path:
    """Raises OSError where no folder can be trusted."""
    folder = folders.cache_if_any() / "checksums"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folders.check_ours(folder)
    return folder / f"{hashlib.sha256(os.fsencode(path.absolute())).hexdigest()}.json"
