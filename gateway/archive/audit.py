"""The books of the archive: does the index name what is there, and is what is there named?"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.archive.archive import Archive
from gateway.archive.belonging import owner_of
from gateway.archive.housekeeping import PERIOD, SPARED, STEP, SWEEP_PERIOD, chunks, unnamed
from gateway.archive.seals import sealed_size
from gateway.archive.thing import Held, Thing
from shared.audit import Finding
from shared.errors import ArchiveDamaged, ArchiveUnavailable, NotStored

MOST_FINDINGS = 1_000
"""After which an audit ends."""
_LATE = 10 * PERIOD
"""Seconds that the removal of what has expired may be late."""


@dataclass(frozen=True, slots=True)
class ArchiveAudit:
    """What was looked at, and what is wrong with it."""

    things: int
    size: int
    """Bytes."""
    findings: list[Finding]


def audit_archive(archive: Archive, *, contents: bool = False) -> ArchiveAudit:
    """Look at all that is stored, at every byte of it where `contents` are asked for. Others may work meanwhile.

    Raises ArchiveUnavailable.
    """
    found: list[Finding] = []
    for finding in _findings(archive, contents):
        found.append(finding)
        if len(found) == MOST_FINDINGS:
            found.append(Finding("archive", "there are more findings, which were not looked for"))
            break
    held: Held = archive.index.held(None)
    return ArchiveAudit(held.things, held.size, found)


def _findings(archive: Archive, contents: bool) -> Iterator[Finding]:
    yield from archive.index.audit()
    if archive.index.held(None).things:
        owner = owner_of(archive)
        if owner is not None and owner != archive.index.identity():
            yield Finding("archive", "the blobs belong to another index, and none of them is ever removed")
    for things in chunks(archive.index.walk(), STEP):
        found = [(thing, problem) for thing in things if (problem := _problem(archive, thing, contents))]
        there = archive.index.blobs([thing.id for thing, _ in found]) if found else set()
        yield from (  # what went meanwhile is none
            Finding(thing.id, problem) for thing, problem in found if not thing.blob or thing.blob in there
        )
    for names in unnamed(archive, time.time() - SPARED - 2 * SWEEP_PERIOD):
        yield from (Finding(name, "a blob that nothing names") for name in names)


def _problem(archive: Archive, thing: Thing, contents: bool) -> str:
    """What is wrong with a thing; empty where nothing is."""
    if thing.expires and thing.expires < time.time() - _LATE:
        return "has expired, and is still there"
    if not thing.blob:
        return f"has {thing.size} bytes, and no blob" if thing.size else ""
    size, wanted = archive.blobs.size(thing.blob), sealed_size(thing.size)
    if size is None:
        return f"its blob {thing.blob} is not there"
    if size != wanted:
        return f"its blob {thing.blob} has {size} bytes instead of {wanted}"
    if contents:
        try:
            for _ in archive.read(thing):
                pass
        except (ArchiveDamaged, ArchiveUnavailable, NotStored) as exc:
            return exc.message
    return ""
