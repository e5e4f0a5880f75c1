"""Which release `make upgrade` takes for this tree's neighbour."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.upgrade.releases import releases


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    known = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    return subprocess.run(
        ["git", *known, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(folder: Path, *tags: str) -> str:
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "a change")
    for tag in tags:
        git(folder, "tag", "--annotate", "--message", tag, tag)
    return git(folder, "rev-parse", "HEAD")


def known(clone: Path, *lines: str) -> list[tuple[str, str]]:
    listed = clone / "releases.txt"
    listed.write_text("# Releases\n" + "".join(f"{line}\n" for line in lines))
    return list(releases(clone, listed))


def test_the_newest_tag_comes_first(clone: Path) -> None:
    old, new = commit(clone, "v0.9.0", "other"), commit(clone, "v0.10.0")
    commit(clone)
    assert known(clone) == [("v0.10.0", new), ("v0.9.0", old)]


def test_a_release_is_not_its_own_neighbour(clone: Path) -> None:
    old = commit(clone, "v0.1.0")
    commit(clone, "v0.2.0")
    assert known(clone) == [("v0.1.0", old)]


def test_a_clone_without_tags_has_the_list(clone: Path) -> None:
    old = commit(clone)
    commit(clone)
    assert known(clone, f"v0.1.0 {old}") == [("v0.1.0", old)]


def test_what_a_shallow_clone_lacks_is_left_out(clone: Path) -> None:
    commit(clone)
    assert known(clone, f"v0.1.0 {'1' * 40}") == []
