"""The neighbour of this tree: the last tagged release before it, checked out with an environment of its own."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from shared.version import VERSION
from tests.upgrade.sides import MADE_UP, ROOT, THIS, Side

LIST = Path(__file__).with_name("releases.txt")


def pair(against: str = "") -> tuple[Side, Side]:
    """The older and the newer side.

    `against` is the commit of the older one, `made-up` for this tree and a made-up newer one; by default it is the
    last release of another version, as long as there is one.
    """
    if not against:
        against = next((commit for name, commit in releases() if name != f"v{VERSION}"), "made-up")
    return (THIS, MADE_UP) if against == "made-up" else (check_out(against), THIS)


def releases(root: Path = ROOT, listed: Path = LIST) -> Iterator[tuple[str, str]]:
    """Name and commit of the releases that this clone has, the newest first, without the one that it is itself."""
    known = dict(line.split() for line in listed.read_text().splitlines() if line and not line.startswith("#"))
    for name in _git(root, "tag", "--list", "v*").split():
        known[name] = _git(root, "rev-list", "-n", "1", name)
    here = _git(root, "rev-parse", "HEAD")
    for name in sorted(known, key=_numbers, reverse=True):
        if known[name] != here and _has(root, known[name]):
            yield name, known[name]


def check_out(commit: str) -> Side:
    """A release in a folder outside of the tree, with what its own lock file names. Takes a minute the first time."""
    commit = _git(ROOT, "rev-parse", f"{commit}^{{commit}}")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inferq-releases"
    folder = cache / commit
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            parts = cache / f"{commit}.part"
            parts.mkdir(exist_ok=True)
            archive = subprocess.run(["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE, check=True)
            subprocess.run(["tar", "-x", "-C", str(parts)], input=archive.stdout, check=True)
            parts.rename(folder)
        subprocess.run(["make", "--silent", "-C", str(folder), ".venv/run"], check=True)
    return Side(commit[:7], (str(folder / ".venv/bin/python"), "-P", "-m", "inferq"), folder, _LATER)


_LATER = ("archive", "prefixes")
"""Settings that no release has yet that this tree is run beside."""


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.removeprefix("v").split("."))


def _has(root: Path, commit: str) -> bool:
    return subprocess.run(["git", "cat-file", "-e", commit], cwd=root, capture_output=True, check=False).returncode == 0


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()
