"""A file of requests, as it lies on the disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from msgspec import DecodeError
from msgspec.json import decode

from gateway.batches.endpoints import ENDPOINTS
from gateway.batches.lines import BatchLine, Inspection, read_line
from shared.errors import InvalidRequest

_SHOWN = 10
"""Errors that are told."""


@dataclass(frozen=True, slots=True)
class RequestFile:
    """One all of whose lines are requests."""

    path: Path
    endpoint: str
    model: str
    """That the first request names; may be empty."""
    total: int
    digest: str
    """Of its bytes."""

    @classmethod
    def read(cls, path: Path) -> RequestFile:
        """Raises InvalidRequest, with the lines that are wrong."""
        try:
            endpoint, digest = _endpoint(path), hashlib.sha256()
            inspection = Inspection(endpoint)
            with path.open("rb") as file:
                for line in file:
                    digest.update(line)
                    inspection.look(line)
        except OSError as exc:
            raise InvalidRequest(f"{path}: cannot be read: {exc.strerror}", param="FILE") from exc
        inspection.finish()
        if errors := inspection.errors:
            told = [f"line {each.line}: {each.message}" if each.line else each.message for each in errors[:_SHOWN]]
            more = [f"and {len(errors) - _SHOWN} more or so"] if len(errors) > _SHOWN else []
            raise InvalidRequest("\n  ".join([f"{path} is no file of requests:", *told, *more]), param="FILE")
        return cls(path, endpoint, inspection.model, inspection.total, digest.hexdigest())

    def custom_ids(self) -> Iterator[tuple[int, str]]:
        """Where they stand, from 1, in their order."""
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if isinstance(found := read_line(line, number, self.endpoint), BatchLine):
                    yield number, found.custom_id


def _endpoint(path: Path) -> str:
    """That of the first request, to which all have to go; the first one that there is where it tells none."""
    with path.open("rb") as file:
        first = next((line for line in file if line.strip()), b"{}")
    try:
        named = decode(first).get("url")
    except (DecodeError, RecursionError, UnicodeDecodeError, AttributeError):
        named = None
    if isinstance(named, str) and named not in ENDPOINTS:
        known = ", ".join(ENDPOINTS)
        raise InvalidRequest(f"{path}: the first request goes to {named[:64]!r}; batches go to {known}", param="FILE")
    return named or next(iter(ENDPOINTS))
