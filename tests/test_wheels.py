"""Models carried by wheels: fetched with pip and kept in the cache, where somebody else may change them."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from inferq import pull
from inferq.errors import PullError
from shared import checksums
from shared.catalogue import Model, Wheel
from tests.checkpoints import make_bert
from tests.commands import environment, inferq
from tests.fixtures.make_legacy import write
from tests.tiny import TINY
from worker.formats.checkpoint import convert
from worker.formats.repack import provide_gguf

MEMBER = "some_model/tiny.gguf"


FOLDER = "some_model/bert"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheel:
    """In a folder, which pip takes for the index; a checkpoint is in it too."""
    path = tmp_path / "index" / "some_model-1.2-py3-none-any.whl"
    path.parent.mkdir()
    about = "some_model-1.2.dist-info"
    checkpoint = make_bert(tmp_path / "bert")
    with zipfile.ZipFile(path, "w") as file:
        file.write(TINY, MEMBER)
        for part in checkpoint.rglob("*"):
            file.write(part, f"{FOLDER}/{part.relative_to(checkpoint)}")
        file.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: some-model\nVersion: 1.2\n")
        file.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{about}/RECORD", "")
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(path.parent)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Wheel("some-model==1.2", hashlib.sha256(path.read_bytes()).hexdigest(), MEMBER)


def models_toml(folder: Path, wheel: Wheel, more: str = "") -> str:
    file = folder / "models.toml"
    file.write_text(
        f'[[model]]\nid = "carried"\nsource = "{wheel.source}"\nmember = "{wheel.member}"\n'
        f'wheel_sha256 = "{wheel.wheel_sha256}"\n{more}'
    )
    return str(file)


@pytest.mark.parametrize("vouched", [True, False])
def test_a_file_that_was_changed_in_the_cache_is_fetched_anew(tmp_path: Path, wheel: Wheel, vouched: bool) -> None:
    digest = hashlib.sha256(TINY.read_bytes()).hexdigest()
    models = models_toml(tmp_path, wheel, f'sha256 = "{digest}"\n' if vouched else "")
    first = inferq("pull", "carried", "--models", models)
    assert first.returncode == 0, first.stderr
    assert "fetched carried" in first.stderr
    path = Path(first.stdout.strip())
    assert path.read_bytes() == TINY.read_bytes()
    assert "fetch" not in inferq("pull", "carried", "--models", models).stderr
    before = path.stat()
    with path.open("r+b") as file:  # of the same size, and with the same time
        file.seek(-1, os.SEEK_END)
        file.write(b"!")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.read_bytes() != TINY.read_bytes()
    again = inferq("pull", "carried", "--models", models)
    assert again.returncode == 0, again.stderr
    assert "no longer the file that was fetched" in again.stderr
    assert path.read_bytes() == TINY.read_bytes()
    shutil.rmtree(tmp_path / "index")
    path.write_bytes(b"GGUF" + bytes(TINY.stat().st_size - 4))
    gone = inferq("pull", "carried", "--models", models)
    assert gone.returncode == 1
    assert gone.stdout == ""


@pytest.mark.parametrize(
    "way", ["{victim}", "../../../../../../victim.gguf", "some_model/../../../../../../victim.gguf"]
)
def test_no_member_moves_a_file_of_the_user(tmp_path: Path, wheel: Wheel, way: str) -> None:
    victim = tmp_path / "victim.gguf"
    victim.write_bytes(b"GGUF precious")
    member = way.format(victim=victim)
    refused = inferq("pull", "carried", "--models", models_toml(tmp_path, Wheel("some-model==1.2", "0" * 64, member)))
    assert (refused.returncode, "key 'member'" in refused.stderr) == (2, True)
    bad = Wheel(wheel.requirement, wheel.wheel_sha256, member)  # past what reads models.toml
    with pytest.raises(PullError, match="has no file"):
        pull.provide(Model("carried", bad.source, None, "auto", None, origin=bad))
    assert victim.read_bytes() == b"GGUF precious"


class TestCheckpoints:
    """A wheel may carry a checkpoint, of which the model's file is made."""

    @pytest.fixture
    def model(self, tmp_path: Path, wheel: Wheel) -> Model:
        convert(tmp_path / "bert", tmp_path / "expected.gguf", "q8_0", name="small")
        made = replace(wheel, member=FOLDER, made="small.Q8_0.gguf", kind="q8_0")
        digest = hashlib.sha256((tmp_path / "expected.gguf").read_bytes()).hexdigest()
        return Model("carried", made.source, None, "llama.cpp", None, origin=made, sha256=digest)

    def test_it_is_converted_once(self, model: Model, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        with ThreadPoolExecutor(2) as threads:
            first, second = threads.map(pull.provide, (model, model))
        assert first.path == second.path
        assert first.path
        assert sum("fetched carried" in line for line in caplog.messages) == 1
        assert hashlib.sha256(first.path.read_bytes()).hexdigest() == model.sha256
        born = first.path.stat().st_ino
        assert pull.provide(first).path == first.path
        assert first.path.stat().st_ino == born
        first.path.write_bytes(b"GGUF, but another")
        assert pull.provide(first).path == first.path
        assert hashlib.sha256(first.path.read_bytes()).hexdigest() == model.sha256

    def test_what_became_something_else_is_not_kept(self, model: Model) -> None:
        with pytest.raises(PullError, match=f"has sha256 {model.sha256}, expected 000"):
            pull.provide(replace(model, sha256="0" * 64))
        assert isinstance(model.origin, Wheel)
        assert [path.name for path in model.origin.place.parent.iterdir()] == ["pull.lock"]

    def test_one_that_was_killed_is_begun_anew(self, model: Model, tmp_path: Path) -> None:
        assert isinstance(model.origin, Wheel)
        place = model.origin.place
        code = f"from inferq import pull; from shared.catalogue import Model, Wheel; pull.provide({model!r})"
        doomed = subprocess.Popen([sys.executable, "-P", "-c", code], env=environment())
        while not list(place.parent.glob("partial-*")):
            assert doomed.poll() is None
            time.sleep(0.01)
        doomed.kill()
        doomed.wait()
        (place.parent / f".{place.name}.0.part").write_bytes(b"half")
        assert pull.provide(model).path == place
        assert {path.name for path in place.parent.iterdir()} == {"pull.lock", place.name}


def test_a_repacked_file_that_was_changed_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = write("gptj", "Q4_0", tmp_path / "model.bin")
    made = provide_gguf(source)
    content, inode = made.read_bytes(), made.stat().st_ino
    assert provide_gguf(source).stat().st_ino == inode
    made.write_bytes(content[:-1] + b"!")
    assert provide_gguf(source) == made
    assert made.read_bytes() == content


def test_a_digest_is_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(checksums, "_FRESH", -1.0)
    file = tmp_path / "file"
    file.write_bytes(b"one")
    digest = hashlib.sha256(b"one").hexdigest()
    assert checksums.digest(file) == digest
    [record] = (tmp_path / "cache" / "inferq" / "checksums").iterdir()
    assert record.parent.stat().st_mode & 0o777 == 0o700
    record.write_text(record.read_text().replace(digest, "f" * 64))
    assert checksums.digest(file) == "f" * 64, "it was read again"
    record.parent.chmod(0o777)
    assert checksums.digest(file) == digest, "what others may write is believed"
    record.parent.chmod(0o700)
    before = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert checksums.digest(file) == hashlib.sha256(b"two").hexdigest()
    for spoiled in ("", "[]", "{}", '{"identity": 1, "digest": 2}', "[" * 100_000):
        record.write_text(spoiled)
        assert checksums.digest(file) == hashlib.sha256(b"two").hexdigest()
    other = tmp_path / "other"
    other.write_bytes(b"three")
    file.unlink()
    checksums.digest(other)
    assert not record.exists()
