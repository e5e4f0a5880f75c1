"""API keys: who may ask, by name.

Given as entries `name:key` or `key`, separated by commas, or as `@` and the path of a file with such entries, one a
line, where `#` begins a comment. The file is read again when it changes. Of a key only its digest is kept.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import re
import time
from collections.abc import Iterable
from pathlib import Path

from shared.config import PREFIX, ConfigError
from shared.errors import InvalidApiKey

log = logging.getLogger(__name__)

PERIOD = 1.0
"""Seconds between two looks at the file."""
SETTING = PREFIX + "API_KEYS"

_ENTRY = re.compile(r"(?:([A-Za-z0-9._-]{1,64}):)?([A-Za-z0-9._~+/-]+=*)")
"""The key is what the header `Authorization: Bearer` can carry (RFC 6750)."""

Owners = dict[bytes, str]
"""Names by the SHA-256 of their key."""


class Keys:
    """The keys of a gateway; false when it has none and everybody may ask.

    Raises ConfigError for entries that cannot be read, naming their place but never the key.
    """

    def __init__(self, setting: str) -> None:
        self._path = Path(setting[1:]) if setting.startswith("@") else None
        self._seen: object = None
        self._checked = time.monotonic()
        if self._path:
            try:
                self._seen, self._owners = _version(self._path), _read(self._path)
            except OSError as exc:
                raise ConfigError(f"{SETTING}: {self._path} cannot be read: {exc.strerror}") from exc
        else:
            self._owners = _parse(setting.split(","), f"{SETTING}, entry") if setting else {}

    def __bool__(self) -> bool:
        return bool(self._owners)

    def owner(self, key: str) -> str:
        """The name that belongs to `key`, found in a time that tells nothing about it. Raises InvalidApiKey."""
        self._refresh()
        digest = hashlib.sha256(key.encode()).digest()
        names = [name for known, name in self._owners.items() if hmac.compare_digest(known, digest)]
        if not names:
            raise InvalidApiKey("Incorrect API key provided.")
        return names[0]

    def _refresh(self) -> None:
        now = time.monotonic()
        if self._path is None or now - self._checked < PERIOD:
            return
        self._checked = now
        version = None
        try:
            version = _version(self._path)
            if version != self._seen:
                self._owners = _read(self._path)
                log.info("%s holds %d API keys now", self._path, len(self._owners))
        except (OSError, ConfigError) as exc:
            if version != self._seen:
                log.error("the API keys are still those of before, for the new ones cannot be read: %s", exc)
        self._seen = version  # also of a file that is no good: complain of it once


def warn_if_open(keys: Keys, host: str) -> None:
    """Say loudly that a gateway on `host` serves whoever can reach it, if it does."""
    try:
        private = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        private = False
    if not (keys or private):
        log.warning("ANYBODY who can reach %s can use this gateway and its queue: set %s", host or "it", SETTING)


def _version(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _read(path: Path) -> Owners:
    lines = path.read_text("utf-8-sig", errors="replace").splitlines()
    return _parse((line.partition("#")[0] for line in lines), f"{path}, line")


def _parse(entries: Iterable[str], place: str) -> Owners:
    owners: Owners = {}
    for number, entry in enumerate(entries, 1):
        if not (entry := entry.strip()):
            continue
        if entry.startswith(("/", "./", "../")):
            raise ConfigError(f"{place} {number}: a file with keys is written `@` and its path")
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise ConfigError(
                f"{place} {number}: not `name:key` or `key`; a name has up to 64 of A-Z a-z 0-9 . _ -, and a key may"
                " also have ~ + / and = at its end"
            )
        name, key = match.groups()
        digest = hashlib.sha256(key.encode()).digest()
        name = name or f"key-{digest.hex()[:12]}"
        if owners.setdefault(digest, name) != name:
            raise ConfigError(f"{place} {number}: the key of {name!r} is also that of {owners[digest]!r}")
    if not owners:
        raise ConfigError(f"{place.rpartition(',')[0]}: holds no keys")
    return owners
