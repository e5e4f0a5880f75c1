"""Which models.toml is read: the one that the user names, else the one in the user's own folder."""

from __future__ import annotations

import functools
import logging
from pathlib import Path

from shared import folders
from shared.config import PREFIX, ConfigError
from shared.regular_file import find

log = logging.getLogger("inferq.models")

_NAME = "models.toml"


def place(setting: str) -> Path | None:
    """The file that the setting INFERQ_MODELS means, or else the user's own, if there is one; the log says which it is.

    Where the setting is a folder of models, it is the one in there.

    That of the working directory is read only where it is named: it may be anybody's, as in a folder that was unpacked.

    Raises ConfigError for a path at which there is none.
    """
    usual = folders.config() / _NAME
    try:
        path, here = find(setting or str(usual)), find(_NAME)
        if path.is_dir():
            path, setting = (path / _NAME if (path / _NAME).is_file() else usual), ""
    except OSError as exc:
        raise ConfigError(f"{exc.filename or _NAME}: cannot be read: {exc.strerror}") from exc
    if not setting and here != path and here.exists():
        _tell_ignored(here, usual.parent)
    if path.exists():
        _tell(path)
        return path
    if setting:
        raise ConfigError(f"{setting}: no such models.toml (--models, or {PREFIX}MODELS)")
    return None


@functools.cache  # once
def _tell(path: Path) -> None:
    log.info("the models of %s", path)


@functools.cache
def _tell_ignored(here: Path, usual: Path) -> None:
    log.warning(
        "%s is not read, for anybody may have put it into this folder; if it is yours, name it with --models %s or"
        " %sMODELS=%s, or move it to %s",
        *(here, _NAME, PREFIX, _NAME, usual),
    )
