"""The folder in which the processes of one gateway keep their counts, so that none are lost with a process."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "inferq-samples-"
_LOCK = "lock"


def prepare() -> Path:
    """Make a new folder and tell prometheus-client, which reads the variable when it is imported.

    Folders of gateways that were killed are removed: theirs is the one lock that can be had.
    """
    for old in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_LOCK}"):
        try:
            with old.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(old.parent, ignore_errors=True)
        except OSError:  # it is in use, or somebody else's
            continue
    fresh = Path(tempfile.mkdtemp(prefix="inferq-new-"))
    descriptor = os.open(fresh / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)  # held until the last process has ended
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    folder = fresh.rename(fresh.with_name(_PREFIX + fresh.name.removeprefix("inferq-new-")))  # now with its lock
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    return folder
