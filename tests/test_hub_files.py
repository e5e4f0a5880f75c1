"""Models of the hub that nobody has named: which file is taken, in how many parts, and what may go wrong on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferq.kept import KeptModel, remove
from shared.catalogue.use import note_use
from shared.errors import InvalidRequest
from shared.file_lock import FileLock
from tests.commands import environment, inferq
from tests.hub import FILE, REPOSITORY, HubServer, serving, wait_until
from tests.tiny import TINY, split

Q8, Q4, F16 = (f"tiny.{kind}.gguf" for kind in ("Q8_0", "Q4_K_M", "F16"))


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with serving() as server:
        yield server


@pytest.fixture
def environ(hub: HubServer, tmp_path: Path) -> dict[str, str]:
    return {
        "HF_HOME": str(tmp_path / "hf"),
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_TOKEN": "",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, bytes]:
    (folder := tmp_path / "parts").mkdir()
    split(TINY, folder / "tiny.gguf")
    return {f"Q8_0/{path.name}": path.read_bytes() for path in folder.iterdir()}


def test_the_best_one_that_fits_is_taken_and_told(hub: HubServer, environ: dict[str, str]) -> None:
    content = TINY.read_bytes()
    hub.files = {F16: content, Q4: content + b"4", Q8: content + b"8", "mmproj-Q8_0.gguf": b"GGUF", "README.md": b"#"}
    pulled = inferq("pull", f"hf:{REPOSITORY}", **environ)
    assert pulled.returncode == 0, pulled.stderr
    assert Path(pulled.stdout.strip()).name == Q8
    assert f"hf:{REPOSITORY}: Q8_0, {Q8} of 0.00 GB is taken: the best of 3 for" in pulled.stderr
    named = inferq("pull", f"hf:{REPOSITORY}:q4_k_m", **environ)
    assert Path(named.stdout.strip()).name == Q4
    assert "as was asked for" in named.stderr
    none = inferq("pull", f"hf:{REPOSITORY}:Q2_K", **environ)
    assert none.returncode == 2
    assert none.stderr.endswith("no file of it has the quantisation Q2_K; there are F16, Q4_K_M, Q8_0\n")
    # What was chosen stays, and is found without the hub.
    offline = inferq("pull", f"hf:{REPOSITORY}", **environ, HF_HUB_OFFLINE="1")
    assert offline.stdout == pulled.stdout, offline.stderr


def test_all_parts_are_fetched_and_every_command_takes_them(
    hub: HubServer, environ: dict[str, str], parts: dict[str, bytes]
) -> None:
    assert len(parts) == 4
    hub.files, source = parts, f"hf:{REPOSITORY}:Q8_0"
    shown = inferq("info", source, "--json", **environ)
    assert shown.returncode == 0, shown.stderr
    assert "4 files, " in shown.stderr
    assert {request.rpartition("/")[2] for request in hub.gets()} == {Path(name).name for name in parts}
    answer = inferq("infer", "-m", source, "-p", "a", "-n", "2", "--ignore-eos", "--threads", "1", **environ)
    assert answer.returncode == 0, answer.stderr
    assert len(hub.gets()) == 4
    # A part that is gone is fetched again, and no other.
    first = Path(inferq("pull", source, **environ).stdout.strip())
    third = sorted(first.parent.iterdir())[2]
    third.resolve().unlink()
    third.unlink()
    assert inferq("pull", source, **environ).returncode == 0
    assert len(hub.gets()) == 5
    whole = inferq("info", first, "--json", **environ)  # by its path, which is a link
    told = [{**json.loads(each.stdout), "memory": None} for each in (shown, whole)]  # of which others take, too
    assert told[0] == told[1]


def test_what_was_fetched_is_listed_and_removed(hub: HubServer, environ: dict[str, str], tmp_path: Path) -> None:
    source = f"hf:{REPOSITORY}/{FILE}"
    path = Path(inferq("pull", source, **environ).stdout.strip())
    [row] = [row for row in json.loads(inferq("models", "--json", **environ).stdout) if row["id"] == source]
    assert (row["path"], row["size"], row["in_use"]) == (str(path), TINY.stat().st_size, False)
    assert row["last_used"]
    unsaid = inferq("rm", source, **environ)
    assert (unsaid.returncode, "say --yes" in unsaid.stderr) == (2, True)
    marks = [FileLock(mark) for mark in tmp_path.glob("cache/inferq/models/used/*")]
    assert [mark.share() for mark in marks] == [True]  # as who serves it does
    refused = inferq("rm", source, "--yes", **environ)
    assert (refused.returncode, "is in use" in refused.stderr) == (2, True)
    marks[0].close()
    own = inferq("rm", TINY, "--yes", **environ)
    assert (own.returncode, "was not fetched by inferq" in own.stderr) == (2, True)
    removed = inferq("rm", source, "--yes", **environ)
    assert removed.returncode == 0, removed.stderr
    assert TINY.exists()
    assert not [found for found in tmp_path.glob("hf/hub/models--*/*/*") if found.parent.name in ("blobs", "snapshots")]


def test_what_comes_into_use_while_somebody_is_asked_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (path := tmp_path / "a.gguf").touch()
    note_use(path)
    with pytest.raises(InvalidRequest, match="a is in use"):
        remove(KeptModel("a", path, (path,), 0, ()))
    assert path.exists()


def test_a_fetch_that_was_killed_goes_on_where_it_was(hub: HubServer, environ: dict[str, str], tmp_path: Path) -> None:
    hub.files[FILE], hub.pause = TINY.read_bytes() + os.urandom(1 << 20), 0.1
    command = [sys.executable, "-P", "-m", "inferq", "pull", f"hf:{REPOSITORY}/{FILE}"]
    doomed = subprocess.Popen(command, env=environment(**environ), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
    wait_until(lambda: any(path.stat().st_size > 1 << 18 for path in tmp_path.glob("hf/hub/*/blobs/*.part")))
    doomed.send_signal(signal.SIGKILL)
    doomed.communicate()
    [part] = tmp_path.glob("hf/hub/*/blobs/*.part")
    here, hub.pause = part.stat().st_size, 0.0
    assert FILE not in inferq("models", **environ).stdout
    pulled = inferq("pull", f"hf:{REPOSITORY}/{FILE}", **environ)
    assert pulled.returncode == 0, pulled.stderr
    assert f"goes on at byte {here} of {len(hub.files[FILE])}" in pulled.stderr
    assert hub.gets()[-1].endswith(f"bytes={here}-")
    assert Path(pulled.stdout.strip()).read_bytes() == hub.files[FILE]
    assert not part.exists()


def test_two_who_want_the_same_fetch_it_once(hub: HubServer, environ: dict[str, str]) -> None:
    hub.files[FILE], hub.pause = TINY.read_bytes() + os.urandom(1 << 19), 0.1
    command = [sys.executable, "-P", "-m", "inferq", "pull", f"hf:{REPOSITORY}/{FILE}"]
    two = [
        subprocess.Popen(command, env=environment(**environ), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    first, second = (each.communicate(timeout=60)[0] for each in two)
    assert first == second
    assert Path(first.decode().strip()).read_bytes() == hub.files[FILE]
    assert len(hub.gets()) == 1


def test_other_bytes_are_told_and_fetched_again(hub: HubServer, environ: dict[str, str], tmp_path: Path) -> None:
    hub.spoils = 1
    pulled = inferq("pull", f"hf:{REPOSITORY}/{FILE}", **environ)
    assert pulled.returncode == 0, pulled.stderr
    assert "has the sha256" in pulled.stderr
    assert "it is fetched again" in pulled.stderr
    assert Path(pulled.stdout.strip()).read_bytes() == TINY.read_bytes()


@pytest.mark.parametrize(("longer", "words"), [(5, "bytes, not the"), (-5, "bytes, not the")])
def test_another_size_is_refused(
    hub: HubServer, environ: dict[str, str], tmp_path: Path, longer: int, words: str
) -> None:
    hub.longer = longer
    pulled = inferq("pull", f"hf:{REPOSITORY}/{FILE}", **environ)
    assert pulled.returncode == 1
    assert words in pulled.stderr.splitlines()[-1]
    assert not list(tmp_path.glob("hf/hub/*/snapshots/*/*"))


def test_a_link_that_is_slow_is_waited_for(hub: HubServer, environ: dict[str, str]) -> None:
    hub.files[FILE], hub.pause = TINY.read_bytes(), 0.2
    assert inferq("pull", f"hf:{REPOSITORY}/{FILE}", **environ).returncode == 0


@pytest.mark.parametrize(
    ("status", "words"), [(429, "too many requests from here (429): try again in 7 s"), (503, "the hub answered 503")]
)
def test_what_may_be_another_time_is_told_so(hub: HubServer, environ: dict[str, str], status: int, words: str) -> None:
    hub.status = status
    pulled = inferq("pull", f"hf:{REPOSITORY}/{FILE}", **environ)
    assert (pulled.returncode, words in pulled.stderr.splitlines()[-1]) == (1, True), pulled.stderr


def test_a_hub_that_does_not_answer_is_told_once_and_soon(hub: HubServer, environ: dict[str, str]) -> None:
    hub.hangs = True
    started = time.monotonic()
    hanging = inferq("info", f"hf:{REPOSITORY}", **environ)
    assert time.monotonic() - started < 25  # it is given ten
    assert hanging.returncode == 1
    assert len(hanging.stderr.splitlines()) == 1
    assert "does not answer in time" in hanging.stderr
    for address in ("http://127.0.0.1:9", "http://nowhere.invalid"):
        away = inferq("up", f"hf:{REPOSITORY}:Q8_0", **{**environ, "HF_ENDPOINT": address})
        assert away.returncode == 1
        assert "cannot be reached" in away.stderr.splitlines()[-1]
        assert "HF_ENDPOINT" in away.stderr


def test_a_disk_without_room_is_told_before(hub: HubServer, environ: dict[str, str]) -> None:
    hub.files = {FILE: TINY.read_bytes()}
    code = (
        "import shutil, sys; shutil.disk_usage = lambda _: type('Usage', (), {'free': 1000})()\n"
        "sys.argv = ['inferq', 'pull', sys.argv[1]]; from inferq.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, f"hf:{REPOSITORY}/{FILE}"],
        env=environment(**environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "GB of disk, and" in done.stderr
    assert hub.gets() == []
