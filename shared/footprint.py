"""What a process takes of the machine, as Linux tells it; 0 elsewhere, and of one that is no more."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def resident(pid: int) -> int:
    """Bytes of memory in use."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def own(pid: int) -> int:
    """Bytes of memory that it shares with nobody and no file."""
    try:
        return int(Path(f"/proc/{pid}/status").read_text().partition("RssAnon:")[2].split()[0]) * 1024
    except (OSError, ValueError, IndexError):
        return 0


def has_mapped(path: Path) -> bool:
    """Whether a process that this one may look at has mapped the file into its memory."""
    name = f" {path.resolve()}"
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError, UnicodeError):
            if any(line.endswith(name) for line in maps.read_text().splitlines()):
                return True
    return False


def spent(pid: int) -> float:
    """Seconds of a processor's time that its threads have had, to a hundredth."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0
