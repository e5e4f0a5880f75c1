"""Where the archive lies, by the configuration."""

from __future__ import annotations

import time
from pathlib import Path

from gateway.archive.blobs import Blobs
from gateway.archive.folder_blobs import FolderBlobs
from gateway.archive.index import Index
from gateway.archive.redis_index import RedisIndex
from gateway.archive.remote_blobs import RemoteBlobs
from gateway.archive.sqlite_index import SqliteIndex
from shared import folders
from shared.config import Config, ConfigError


def open_blobs(config: Config) -> Blobs:
    """Nothing is made before something is written."""
    return RemoteBlobs(config.archive) if _is_remote(config) else FolderBlobs(_folder(config) / "blobs")


def open_index(config: Config) -> Index:
    """Nothing is made before something is added. Raises ConfigError."""
    if config.archive_index == "redis":
        return RedisIndex.open(config)
    if config.archive_index:
        return SqliteIndex(Path(config.archive_index), time.time)
    if _is_remote(config):
        raise ConfigError(
            "INFERQ_ARCHIVE is a URL: INFERQ_ARCHIVE_INDEX must say where the index is, which no URL can be"
        )
    return SqliteIndex(_folder(config) / "index.db", time.time)


def _folder(config: Config) -> Path:
    return Path(config.archive) if config.archive else folders.data() / "archive"


def _is_remote(config: Config) -> bool:
    return "://" in config.archive
