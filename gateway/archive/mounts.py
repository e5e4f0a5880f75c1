"""What kind of file system a folder lies on, where the system tells."""

from __future__ import annotations

import re
from pathlib import Path

_TABLE = Path("/proc/self/mountinfo")
_NETWORK = re.compile(r"nfs.*|cifs|smb.*|9p|afs|ceph|lustre|glusterfs|gpfs|ocfs2|fuse\.(sshfs|s3fs|gluster.*|ceph.*)")


def network_type(folder: Path) -> str:
    """The type of the network file system that it lies on; empty where it lies on none, or nobody tells."""
    try:
        lines = _TABLE.read_text().splitlines()
        folder = folder.resolve()
    except OSError:
        return ""
    mounts = dict(filter(None, map(_mount, lines)))  # the last one of a folder hides the others
    kind = next((mounts[place] for place in (folder, *folder.parents) if place in mounts), "")
    return kind if _NETWORK.fullmatch(kind) else ""


def _mount(line: str) -> tuple[Path, str] | None:
    """Where something is mounted, and its type: the fifth field, and the one after the `-`."""
    fields = line.split(" ")
    if "-" not in fields[6:]:
        return None
    place = re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), fields[4])
    return Path(place), fields[fields.index("-", 6) + 1]
