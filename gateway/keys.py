"""API keys: who may ask, by name, and for how much.

Given as entries `name:key` or `key`, separated by commas, or as `@` and the path of a file with such entries, one a
line, where `#` begins a comment. After the key an entry may go on with words: `weight=2 priority max_jobs=50
max_bytes=100000000 admin`, or `metrics`. The file is read again when it changes. Of a key only its digest is kept.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.config import PREFIX, ConfigError
from shared.errors import InvalidApiKey, TierRefused
from shared.regular_file import read_bytes
from shared.ticket import Standing, Tier

log = logging.getLogger(__name__)

PERIOD = 1.0
"""Seconds between two looks at the file."""
SETTING = PREFIX + "API_KEYS"

SHORT, TOO_SHORT = 20, 8
"""Characters of a key below which there is a warning, and below which a gateway that others can reach does not start.
"""

_ENTRY = re.compile(r"(?:([A-Za-z0-9._-]{1,64}):)?([A-Za-z0-9._~+/-]+=*)")
"""The key is what the header `Authorization: Bearer` can carry (RFC 6750)."""

_WEIGHT, _COUNT = re.compile(r"(?=.*[1-9])[0-9]{1,3}(\.[0-9]{1,3})?"), re.compile(r"[1-9][0-9]{0,8}")
_BYTES = re.compile(r"[1-9][0-9]{0,14}")
_WORDS = {
    "weight": "`weight=` and a number from 0.001 to 999.999",
    "priority": "`priority`",
    "max_jobs": "`max_jobs=` and a whole number from 1 on",
    "max_bytes": "`max_bytes=` and a whole number from 1 on",
    "admin": "`admin`",
    "metrics": "`metrics`",
}


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose jobs a request's are: all keys of one name are one owner."""

    name: str
    weight: float = 1.0
    """Its share of the slots, beside others who wait."""
    priority: bool = False
    """It may ask for the tier `priority`."""
    max_jobs: int = 0
    """How many of its jobs may wait and run at once; 0 for no bound."""
    max_bytes: int = 0
    """What those may hold of Redis's memory; 0 for the share of a key."""
    admin: bool = False
    """It sees how everybody's jobs are, though not what they ask and are answered, and may cancel them."""
    metrics: bool = False
    """It may read the numbers for Prometheus, and do nothing else."""

    def standing(self, tier: Tier, share: int = 0) -> Standing:
        """That of its jobs in a tier; `share` is what a key's jobs may hold of Redis's memory, in bytes, or 0."""
        return Standing(tier, self.weight, self.max_jobs, self.max_bytes or share)

    def check(self, tier: Tier) -> None:
        """Raises TierRefused where this owner may not ask for the tier."""
        if tier is Tier.PRIORITY and not self.priority:
            raise TierRefused("service_tier: this API key may not ask for 'priority'.", param="service_tier")


EVERYBODY = Owner("", priority=True, admin=True)
"""The one owner of a gateway without keys."""

Owners = dict[bytes, Owner]
"""By the SHA-256 of their keys."""


class Keys:
    """The keys of a gateway; false when it has none and everybody may ask.

    Raises ConfigError for entries that cannot be read, naming their place but never the key.
    """

    def __init__(self, setting: str, most_jobs: int = 0) -> None:
        """`most_jobs` may wait and run of each key whose entry says nothing of it; 0 for no bound."""
        self._most_jobs = most_jobs
        self._lengths: dict[str, int] = {}
        self._path = Path(setting[1:]) if setting.startswith("@") else None
        self._seen: object = None
        self._checked = time.monotonic()
        if self._path:
            try:
                self._seen, self._owners = _version(self._path), self._read(self._path)
            except OSError as exc:
                raise ConfigError(f"{SETTING}: {self._path} cannot be read: {exc.strerror}") from exc
        else:
            self._owners = self._parse(setting.split(","), f"{SETTING}, entry") if setting else {}

    def __bool__(self) -> bool:
        return bool(self._owners)

    def owner(self, key: str) -> Owner:
        """Whom `key` belongs to, found in a time that tells nothing about it. Raises InvalidApiKey."""
        self._refresh()
        digest = hashlib.sha256(key.encode()).digest()
        found = [owner for known, owner in self._owners.items() if hmac.compare_digest(known, digest)]
        if not found:
            raise InvalidApiKey("Incorrect API key provided.")
        return found[0]

    def named(self, name: str) -> Owner | None:
        """The owner of that name; None where no key is his any more."""
        self._refresh()
        return next((owner for owner in self._owners.values() if owner.name == name), None)

    def shorter_than(self, length: int) -> list[str]:
        """The names of the owners who have such a key."""
        return sorted(name for name, shortest in self._lengths.items() if shortest < length)

    def warn_of_short_ones(self) -> None:
        if names := self.shorter_than(SHORT):
            log.warning("API keys of fewer than %d characters can be guessed: %s", SHORT, ", ".join(names))

    def _refresh(self) -> None:
        now = time.monotonic()
        if self._path is None or now - self._checked < PERIOD:
            return
        self._checked = now
        version = None
        try:
            version = _version(self._path)
            if version != self._seen:
                self._owners = self._read(self._path)
                log.info("%s holds %d API keys now", self._path, len(self._owners))
                self.warn_of_short_ones()
        except (OSError, ConfigError) as exc:
            if version != self._seen:
                log.error("the API keys are still those of before, for the new ones cannot be read: %s", exc)
        self._seen = version  # also of a file that is no good: complain of it once

    def _read(self, path: Path) -> Owners:
        lines = read_bytes(path).decode("utf-8-sig", errors="replace").splitlines()
        return self._parse((line.partition("#")[0] for line in lines), f"{path}, line")

    def _parse(self, entries: Iterable[str], place: str) -> Owners:
        owners: Owners = {}
        lengths: dict[str, int] = {}
        by_name: dict[str, Owner] = {}
        for number, entry in enumerate(entries, 1):
            if not (words := entry.split()):
                continue
            digest, owner, length = _entry(words, self._most_jobs, f"{place} {number}")
            lengths[owner.name] = min(length, lengths.get(owner.name, length))
            if owners.setdefault(digest, owner).name != owner.name:
                raise ConfigError(
                    f"{place} {number}: the key of {owner.name!r} is also that of {owners[digest].name!r}"
                )
            if by_name.setdefault(owner.name, owner) != owner:
                raise ConfigError(
                    f"{place} {number}: {owner.name!r} has another weight, priority, max_jobs, max_bytes, admin or"
                    " metrics before"
                )
        if not owners:
            raise ConfigError(f"{place.rpartition(',')[0]}: holds no keys")
        self._lengths = lengths
        return owners


def _entry(words: Sequence[str], most_jobs: int, place: str) -> tuple[bytes, Owner, int]:
    """The digest of an entry's key, whose it is, and how long."""
    if words[0].startswith(("/", "./", "../")):
        raise ConfigError(f"{place}: a file with keys is written `@` and its path")
    match = _ENTRY.fullmatch(words[0])
    if match is None:
        raise ConfigError(
            f"{place}: not `name:key` or `key`; a name has up to 64 of A-Z a-z 0-9 . _ -, and a key may also have"
            " ~ + / and = at its end"
        )
    name, key = match.groups()
    digest = hashlib.sha256(key.encode()).digest()
    given: dict[str, Any] = {"max_jobs": most_jobs} | _standing(words, place)
    return digest, Owner(name or f"key-{digest.hex()[:12]}", **given), len(key)


def _standing(words: Sequence[str], place: str) -> dict[str, Any]:
    """What an entry says beyond its key, its first word."""
    given: dict[str, Any] = {}
    for number, word in enumerate(words[1:], 2):
        name, equals, value = word.partition("=")
        match name:
            case "weight" if name not in given and _WEIGHT.fullmatch(value):
                given[name] = float(value)
            case "priority" | "admin" | "metrics" if name not in given and not equals:
                given[name] = True
            case "max_jobs" if name not in given and _COUNT.fullmatch(value):
                given[name] = int(value)
            case "max_bytes" if name not in given and _BYTES.fullmatch(value):
                given[name] = int(value)
            case _:  # it may be a key, with a blank where the colon should be: such a word is not shown
                told = repr(word) if name in _WORDS else "it"
                raise ConfigError(f"{place}, word {number}: {told} is none of {', '.join(_WORDS.values())}, each once")
    return given


def check_strength(keys: Keys, host: str) -> None:
    """Raises ConfigError where a key is too easy to guess for a gateway on `host`."""
    if not _is_private(host) and (names := keys.shorter_than(TOO_SHORT)):
        raise ConfigError(
            f"{SETTING}: a key of {', '.join(names)} has fewer than {TOO_SHORT} characters, and others can reach this"
            " gateway; `openssl rand -hex 24` makes a good one"
        )


def warn_if_open(keys: Keys, host: str) -> None:
    """Say loudly that a gateway on `host` serves whoever can reach it, if it does, and which keys can be guessed."""
    if not (keys or _is_private(host)):
        log.warning("ANYBODY who can reach %s can use this gateway and its queue: set %s", host or "it", SETTING)
    keys.warn_of_short_ones()


def _is_private(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _version(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
