"""The folder of snapshots in bad company: other users, killed writers, and hosts that a model has taken over."""

from __future__ import annotations

import os
import re
import resource
import stat
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shared.config import Config
from shared.file_lock import FileLock
from tests.answers import host_of
from tests.commands import inferq
from tests.prefixes import LONG, ask, cached, draw, keeping, snapshots
from tests.tiny import TINY, roomy
from worker.engines.llama_cpp_state import SlotState
from worker.prefixes.bounds import SnapshotBounds
from worker.prefixes.chain import link
from worker.prefixes.folder import open_folder
from worker.prefixes.snapshot import DIGEST, Snapshot, begin, write_state

CHAIN = link(b"seed", range(320))


def test_a_folder_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "prefixes"
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    assert open_folder(Config(prefixes=str(shared)), "")
    assert stat.S_IMODE(shared.stat().st_mode) == 0o700
    assert list(shared.iterdir()), "its secret"
    shared.chmod(0o770)
    assert open_folder(Config(prefixes=str(shared)), "") is None, "others may have put a secret there that they know"
    shared.chmod(0o700)
    theirs = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: theirs)
    assert open_folder(Config(prefixes=str(shared)), "") is None


def test_whether_they_are_kept_is_told_of_a_file() -> None:
    assert re.search(r"prefixes +kept\n", inferq("info", TINY).stdout)


def test_what_a_killed_reader_has_begun_goes_with_what_is_old(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    old, new = tmp_path / "key" / "old.part", tmp_path / "key" / "new.part"
    for part in (old, new):
        part.write_bytes(begin(CHAIN))
    past = time.time() - 100
    os.utime(old, (past, past))
    SnapshotBounds(tmp_path, 1 << 30, 50).sweep()
    assert not old.exists()
    assert new.exists()


def test_a_state_that_grows_while_it_is_saved_takes_no_more_than_was_made_room_for(tmp_path: Path) -> None:
    state, target = tmp_path / "state", tmp_path / "target"
    state.write_bytes(bytes(3 << 20))

    def grow() -> None:
        if state.stat().st_size < 30 << 20:
            with state.open("ab") as more:
                more.write(bytes(3 << 20))

    with closing(FileLock(target)) as lock, state.open("rb") as reading, (tmp_path / "again").open("w+b") as again:
        os.write(lock.fd, begin(CHAIN))
        write_state(begin(CHAIN), reading, 3 << 20, lock.fd, grow)
        assert target.stat().st_size < 4 << 20
        assert Snapshot(target, CHAIN).read(again, lambda: None)


@pytest.mark.parametrize("missing", [700, 200_000])  # llama.cpp tells of the latter alone
def test_what_had_no_space_as_a_whole_is_no_snapshot(tmp_path: Path, missing: int) -> None:
    prompt, folder = draw(LONG + 7), tmp_path / "prefixes"
    with keeping(folder, roomy(tmp_path)) as engine:
        cached(engine, ask(draw(LONG + 7, 1)))
        (whole,) = snapshots(folder)
        state = whole.stat().st_size - len(begin(link(b"", range(LONG)))) - DIGEST
        resource.prlimit(host_of(engine), resource.RLIMIT_FSIZE, (state - missing, resource.RLIM_INFINITY))
        assert cached(engine, ask(prompt)) == 0
        assert snapshots(folder) == [whole]
        resource.prlimit(host_of(engine), resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert cached(engine, ask(prompt)) > 600, "its seat has it"
        assert len(snapshots(folder)) == 2


def test_one_that_cannot_be_read_any_more_is_made_anew(tmp_path: Path) -> None:
    prompt, folder = draw(LONG + 7), tmp_path / "prefixes"
    with keeping(folder, roomy(tmp_path), slots=1) as engine:
        for each in (prompt, draw(LONG, 1)):
            cached(engine, ask(each))
        for path in snapshots(folder):  # of a user who may read everything nothing else is unreadable
            path.unlink()
            os.mkfifo(path)
        assert cached(engine, ask(prompt)) == 0
        assert sum(path.is_file() for path in snapshots(folder)) == 1


@pytest.mark.parametrize("kind", ["a named pipe", "a device", "a link"])
def test_what_a_host_puts_in_place_of_its_state_is_not_read(tmp_path: Path, kind: str) -> None:
    def ask(asked: str, body: dict[str, Any], *args: object, **more: object) -> None:
        place = tmp_path / body["filename"]
        if kind == "a named pipe":
            os.mkfifo(place)
        elif kind == "a device":
            place.symlink_to("/dev/zero")
        else:
            (tmp_path / "other").write_bytes(b"another's")
            place.symlink_to(tmp_path / "other")

    server, host = SimpleNamespace(ask=ask), SimpleNamespace(directory=tmp_path)
    with pytest.raises(OSError, match=r"named pipe|symbolic"), SlotState(server, host, 0).save():  # type: ignore[arg-type]  # all that it needs of them
        pass
    assert not (tmp_path / "state-0").is_symlink()
