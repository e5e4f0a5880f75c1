"""The user's folders for inferq, where the XDG Base Directory Specification puts them."""

from __future__ import annotations

import os
from pathlib import Path


def cache() -> Path:
    """Of what can be fetched or made again."""
    return _folder("XDG_CACHE_HOME", ".cache")


def config() -> Path:
    """Of what the user has written."""
    return _folder("XDG_CONFIG_HOME", ".config")


def data() -> Path:
    """Of what must not be lost."""
    return _folder("XDG_DATA_HOME", ".local/share")


def _folder(variable: str, usual: str) -> Path:
    base = Path(os.environ.get(variable, ""))
    return (base if base.is_absolute() else Path.home() / usual) / "inferq"  # a relative one is to be ignored
