"""Who writes to an index in SQLite at the same time shares a commit, and nobody's fault or death is another's."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import gevent
import pytest

from gateway.archive.index import Bounds, NoRoom
from gateway.archive.sqlite_file import SqliteFile
from gateway.archive.sqlite_index import SqliteIndex
from gateway.archive.thing import ThingKind
from shared.errors import ArchiveUnavailable, NotStored
from tests.indexes import Clock, thing

KILLED = """
import os, sys, signal
from pathlib import Path
from tests.test_shared_commits import Clock, SqliteIndex, all_at_once, thing
index = SqliteIndex(Path(sys.argv[1]), Clock())
index.add([thing("before")])
die = lambda db: db.execute("UPDATE things SET size = 7") and os.kill(os.getpid(), signal.SIGKILL)
writers = [lambda n=n: index.add([thing(f"r{n}")]) and print("stored", flush=True) for n in range(4)]
all_at_once(index, *writers, lambda: index._file.write(die))
"""


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One for each."""
    found, run = list[bool](), SqliteFile._run

    def counted(self: SqliteFile, work: Callable[[sqlite3.Connection], Any], writes: bool) -> Any:
        if writes:
            found.append(True)
        return run(self, work, writes)

    monkeypatch.setattr(SqliteFile, "_run", counted)
    return found


def all_at_once(index: SqliteIndex, *works: Callable[[], Any]) -> list[Any]:
    """What each returned or raised; they have waited for another's write together."""
    begun, go_on = Event(), Event()
    first = gevent.spawn(index._file.write, lambda db: begun.set() or go_on.wait(30))
    while not begun.is_set():
        gevent.sleep(0.01)
    others = [gevent.spawn(_outcome, work) for work in works]
    gevent.sleep(0.05)
    go_on.set()
    gevent.joinall([first, *others], raise_error=True)
    return [other.value for other in others]


def _outcome(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except (NotStored, NoRoom, ArchiveUnavailable) as exc:
        return type(exc)


def test_each_has_its_own_outcome_in_one_commit(tmp_path: Path, commits: list[bool]) -> None:
    index = SqliteIndex(tmp_path / "index.db", Clock())
    index.add([thing("there")])
    commits.clear()
    found = all_at_once(
        index,
        lambda: index.add([thing("a")]),
        lambda: index.add([thing("b"), thing("part", ThingKind.ITEM, parent="none")]),
        lambda: index.add([thing("c")], Bounds(0, 0, 0)),
        lambda: index.add([thing("there")]),
        lambda: index._file.write(lambda db: db.execute("INSERT INTO turns VALUES ('x', NULL)")),
        lambda: index.add([thing("d")]),
    )
    assert found == [True, NotStored, NoRoom, False, ArchiveUnavailable, True]
    assert len(commits) == 2  # that of the first, and one for all
    assert [each.id for each in index.walk()] == ["there", "a", "d"]
    assert list(index.audit()) == []
    index.close()


def test_where_the_file_fails_nobody_is_told_of_success(tmp_path: Path, commits: list[bool]) -> None:
    index = SqliteIndex(tmp_path / "index.db", Clock())
    index.add([thing("there")])

    def fail(db: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    found = all_at_once(index, lambda: index.add([thing("a")]), lambda: index._file.write(fail))
    assert found == [ArchiveUnavailable, ArchiveUnavailable]
    assert [each.id for each in index.walk()] == ["there"]
    assert index.add([thing("a")])
    assert list(index.audit()) == []
    index.close()


def test_killed_in_the_middle_it_has_told_nothing(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    command = [sys.executable, "-c", KILLED, str(path)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert done.returncode == -signal.SIGKILL, done.stderr
    index = SqliteIndex(path, Clock())
    assert [each.id for each in index.walk()] == ["before"]
    assert "stored" not in done.stdout
    assert list(index.audit()) == []
    index.close()
