"""The user's folders for inferq, where the XDG Base Directory Specification puts them.

Those that find them raise ConfigError where the user has no home.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from shared.config import ConfigError
from shared.whole_file import flush_names


def cache() -> Path:
    """Of what can be fetched or made again."""
    return _folder("XDG_CACHE_HOME", ".cache")


def cache_if_any() -> Path:
    """The same for those who can do without: raises OSError where the user has no home."""
    try:
        return cache()
    except ConfigError as exc:
        raise FileNotFoundError(errno.ENOENT, str(exc)) from exc


def config() -> Path:
    """Of what the user has written."""
    return _folder("XDG_CONFIG_HOME", ".config")


def data() -> Path:
    """Of what must not be lost."""
    return _folder("XDG_DATA_HOME", ".local/share")


def make_private(folder: Path, below: Path | None = None) -> None:
    """Make a folder, and those in which it lies, for this user alone, as far as they are not there. Raises OSError,
    also where `below` is not there, the one that is to be.
    """
    if not folder.is_dir():
        if folder.parent != below:
            make_private(folder.parent, below)
        folder.mkdir(mode=0o700, exist_ok=True)
        flush_names(folder.parent)


def check_ours(folder: Path) -> None:
    """Raises PermissionError for a folder into which others might have put what is in it; OSError."""
    told = folder.lstat()
    if not stat.S_ISDIR(told.st_mode) or told.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "this is no folder of ours", str(folder))
    if stat.S_IMODE(told.st_mode) & 0o022:
        raise PermissionError(
            errno.EPERM, f"others may write to it: `chmod go-w {folder}` once you trust it", str(folder)
        )


def _folder(variable: str, usual: str) -> Path:
    base = Path(os.environ.get(variable, ""))
    if base.is_absolute():  # a relative one is to be ignored
        return base / "inferq"
    try:
        return Path.home() / usual / "inferq"
    except RuntimeError:
        raise ConfigError(f"this user has no home directory: set HOME, or {variable}") from None
