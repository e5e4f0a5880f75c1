"""What a hundred thousand stored answers cost: to add, to list, on the disk, and in Redis.

    python -m bench.archive [--answers 100000] [--index redis]

Answers of 4 kB, each with a model, a status and metadata, are added as gateways add them, 16 at a time; then pages
of 100 are listed from random positions, plain and filtered. Prints medians with their spread over the rounds. Ends with
status 1 where a page takes longer than 50 ms at p95, the worst left aside, or Redis holds more than before although the
index is elsewhere.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gevent
from gevent.pool import Pool

from bench.machine import describe, percentile, spread
from gateway.archive.archive import Archive
from gateway.archive.audit import audit_archive
from gateway.archive.thing import Thing, ThingKind
from shared.config import Config
from tests.stack import Stack, running

ROUNDS, PAGES, AT_ONCE, BLOB = 7, 100, 16, 4096
MOST_MS = 50.0
MOST_GROWTH = 65_536
"""Bytes that Redis may hold more by chance."""
FILTERS: dict[str, dict[str, str]] = {
    "all": {},
    "a model, half of them": {"model": "m1"},
    "metadata of 1 %": {"metadata.user": "u7"},
    "metadata of 0.01 %": {"metadata.session": "s77"},
    "a model and metadata, each many": {"model": "m1", "metadata.colour": "c3"},
    "a model and metadata of 1 %": {"model": "m1", "metadata.user": "u7"},
}
WORST = {"model": "m0", "metadata.odd": "yes"}
"""Each of half of them, and never both of one: all of one half are looked at."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--answers", type=int, default=100_000)
    parser.add_argument("--index", default="", help="as INFERQ_ARCHIVE_INDEX")
    given = parser.parse_args()
    print(describe("gevent"))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, running(Path(folder)) as stack:
        config = Config(
            redis_url=str(stack.settings["redis_url"]),
            archive=f"{folder}/archive",
            archive_index=given.index,
            archive_key_bytes=1 << 40,
            archive_bytes=1 << 40,
            archive_key_things=10 * given.answers,
        )
        archive, before = Archive.open(config), used(stack)
        seconds = add(archive, given.answers)
        print(f"added {given.answers} answers of {BLOB} bytes: {seconds:.0f} s, {given.answers / seconds:.0f} a second")
        growth = used(stack) - before
        print(f"Redis holds {growth:+d} bytes, {growth / given.answers:.1f} for each answer")
        sizes = {name: size_of(Path(folder) / "archive" / name) for name in ("blobs", ".")}
        for name, size in (("blobs", sizes["blobs"]), ("the index", sizes["."] - sizes["blobs"])):
            print(f"{name}: {size / 1e6:.0f} MB on the disk, {size / given.answers:.0f} bytes for each")
        slowest = max([measure(archive, given.answers, name, where) for name, where in FILTERS.items()])
        measure(archive, given.answers, "worst, two halves that never meet", WORST)
        started = time.perf_counter()
        found = audit_archive(archive).findings
        print(f"audit: {time.perf_counter() - started:.1f} s, {len(found)} findings")
        archive.index.close()
    kept = given.index == "redis" or growth <= MOST_GROWTH
    print(f"pages within {MOST_MS:.0f} ms at p95: {slowest <= MOST_MS}; Redis as it was: {kept}")
    return 0 if slowest <= MOST_MS and kept and not found else 1


def add(archive: Archive, count: int) -> float:
    """Seconds."""
    draw, pool = random.Random(1), Pool(AT_ONCE)
    started = time.perf_counter()
    for number in range(count):
        pool.spawn(archive.keep, answer(number), [draw.randbytes(BLOB)])
    pool.join(raise_error=True)
    return time.perf_counter() - started


def answer(number: int) -> Thing:
    metadata = {
        "user": f"u{number % 100}",
        "session": f"s{number % 10_000}",
        "colour": f"c{number % 10}",
        "odd": "yes" if number % 2 else "no",
    }
    facts: dict[str, Any] = {"model": f"m{number % 2}", "created": number, "status": "completed", "metadata": metadata}
    return Thing(name_of(number), ThingKind.RESPONSE, "owner", number, 0, facts)


def name_of(number: int) -> str:
    return f"resp_{number:032x}"


def measure(archive: Archive, count: int, name: str, where: dict[str, str]) -> float:
    """The p95 of a page in milliseconds, the median of the rounds; prints it."""
    draw, medians, p95s = random.Random(2), [], []
    for _ in range(ROUNDS):
        times = []
        for _ in range(PAGES):
            after, descending = name_of(draw.randrange(count)), draw.random() < 0.5
            started = time.perf_counter()
            archive.page("owner", ThingKind.RESPONSE, limit=100, after=after, where=where, descending=descending)
            times.append((time.perf_counter() - started) * 1000)
            gevent.sleep(0)
        medians.append(percentile(times, 50))
        p95s.append(percentile(times, 95))
    print(f"page of 100, {name}: p50 {spread(medians, ' ms')}, p95 {spread(p95s, ' ms')}")
    return sorted(p95s)[ROUNDS // 2]


def used(stack: Stack) -> int:
    """Bytes of Redis."""
    return int(stack.redis.info("memory")["used_memory_dataset"])


def size_of(folder: Path) -> int:
    """Bytes that it takes of the disk."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


if __name__ == "__main__":
    sys.exit(main())
