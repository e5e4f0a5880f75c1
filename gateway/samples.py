"""The folder in which the processes of one gateway keep their counts, so that none are lost with a process."""

from __future__ import annotations

import os
from pathlib import Path

from shared.scratch import Scratch


def prepare() -> Path:
    """Make a new folder, which lives until the last process has ended, and tell prometheus-client of it.

    That reads the variable when it is imported.
    """
    folder = Scratch("inferq-counts-").path
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    return folder
