"""A folder of models, and how long its models stay: what of it is offered, and by which names."""

from __future__ import annotations

import shutil
from pathlib import Path
from unittest.mock import patch

import pytest

from inferq.models import rows
from shared import catalogue
from shared.catalogue import models_toml
from shared.catalogue.folder import MOST_MODELS, models_in
from shared.catalogue.lasting import ALWAYS
from shared.config import Config, ConfigError
from tests.commands import inferq
from tests.tiny import TINY


def put(path: Path, content: bytes = b"GGUF") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_what_is_offered(tmp_path: Path) -> None:
    for name in ("a.gguf", "z/b c.gguf", "loud.GGUF", "deep/er/模型.gguf", "x/same.gguf", "y/same.gguf"):
        put(tmp_path / name)
    put(tmp_path / "part-00001-of-00002.gguf")
    put(tmp_path / "old.bin", b"lmgg....")
    for name in ("part-00002-of-00002.gguf", "mmproj-a.gguf", ".hidden.gguf", "one/two/three/four/deep.gguf", "readme"):
        put(tmp_path / name)
    put(tmp_path / "pytorch_model.bin", b"PK\x03\x04")
    for folder in ("line\nbreak", "not utf-8 \udce8"):
        put(tmp_path / folder / "same.gguf")
    (tmp_path / "dangling.gguf").symlink_to(tmp_path / "nowhere")
    (tmp_path / "linked.gguf").symlink_to(tmp_path / "a.gguf")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = [model.id for model in models_in(tmp_path)]
    assert sorted(found) == sorted(["a", "b c", "loud", "模型", "x/same", "y/same", "part", "old", "linked"])
    assert models_in(tmp_path / "nowhere") == []


def test_names_of_other_scripts_stand_in_line(tmp_path: Path) -> None:
    put(tmp_path / "模型.gguf")
    head, *rows = inferq("models", "--models", str(tmp_path)).stdout.partition("\n\n")[0].splitlines()
    [row] = [row for row in rows if row.startswith("模型")]
    assert row.index("auto") == head.index("ENGINE") - 2, "each of the two letters takes two places"


def test_of_parts_the_first_that_is_there_stands_for_a_model(tmp_path: Path) -> None:
    for name in ("a-00002-of-00003.gguf", "a-00003-of-00003.gguf", "b-00003-of-00003.gguf", "c-00007-of-01001.gguf"):
        put(tmp_path / name)
    found = {model.id: model.path and model.path.name for model in models_in(tmp_path)}
    assert found == {"a": "a-00002-of-00003.gguf", "b": "b-00003-of-00003.gguf"}


def test_two_that_differ_in_the_suffix_alone_are_two_models(tmp_path: Path) -> None:
    for name in ("a.gguf", "x/b.gguf", "y/b.gguf"):
        put(tmp_path / name)
    for name in ("a.bin", "y/b.ggml"):
        put(tmp_path / name, b"lmgg....")
    assert [model.id for model in models_in(tmp_path)] == ["a.bin", "a.gguf", "x/b", "y/b.ggml", "y/b.gguf"]


def test_a_name_is_what_people_type(tmp_path: Path) -> None:
    """Also with spaces and letters that no line is drawn with, and where macOS has taken its letters apart."""
    for name in ("日本\u3000語.gguf", "क्\u200dष.gguf", "bu\u0308cher.gguf", "b\u202egfe.gguf"):
        put(tmp_path / name)
    assert [model.id for model in models_in(tmp_path)] == ["b\u00fccher", "क्\u200dष", "日本\u3000語"]
    found = catalogue.resolve("b\u00fccher", models_toml=str(tmp_path))
    assert found.path == tmp_path / "bu\u0308cher.gguf"


def test_no_two_models_have_one_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.gguf", "a.gguf.gguf"):
        put(tmp_path / name)
    put(tmp_path / "a.bin", b"lmgg....")
    assert [model.id for model in models_in(tmp_path)] == ["a.bin", "a.gguf"]
    assert "would be called 'a.gguf': the others are not offered" in caplog.text


def test_no_more_than_so_many_which_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(MOST_MODELS):
        put(tmp_path / f"{number}.gguf")
    assert len(models_in(tmp_path)) == MOST_MODELS
    assert not caplog.text
    put(tmp_path / "more.gguf")
    for _ in range(2):
        assert len(models_in(tmp_path)) == MOST_MODELS
    assert caplog.text.count(f"{tmp_path}: there are more than {MOST_MODELS} models: the others are not offered") == 1
    with patch.object(Path, "resolve", autospec=True, side_effect=Path.resolve) as resolve:
        rows(Config(models=str(tmp_path)))
    assert resolve.call_count < 50 * MOST_MODELS, "of each model, and not of each two"


def test_what_models_toml_says_of_a_file_goes_before_it(tmp_path: Path) -> None:
    shutil.copy(TINY, tmp_path / "tiny.gguf")
    put(tmp_path / "smollm2.gguf")
    (tmp_path / "models.toml").write_text('[[model]]\nid = "mine"\nsource = "tiny.gguf"\nkeep = "always"\n')
    known = {model.id: model for model in catalogue.list_models(str(tmp_path))}
    assert known.keys() == {"mine", "smollm2", "minilm", "echo"}
    assert known["smollm2"].path == tmp_path / "smollm2.gguf"
    assert known["mine"].keep == ALWAYS
    assert catalogue.resolve("mine", models_toml=str(tmp_path)).path == tmp_path / "tiny.gguf"


def test_a_file_that_models_toml_names_is_no_other_model_although_it_is_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    for name in ("style.gguf", "real.gguf", "own.gguf"):
        put(folder / name)
    (folder / "linked.gguf").symlink_to(TINY)
    (folder / "other.gguf").symlink_to(folder / "real.gguf")
    tables = ('id = "mine"\nsource = "linked.gguf"\nlora = ["style.gguf"]', 'id = "yours"\nsource = "real.gguf"')
    (folder / "models.toml").write_text("\n".join(f"[[model]]\n{table}\n" for table in tables))
    (tmp_path / "link").symlink_to(folder)
    for place in (folder, tmp_path / "link"):
        known = {model.id for model in catalogue.list_models(str(place))}
        assert known == {"mine", "yours", "own", "smollm2", "minilm", "echo"}


@pytest.mark.parametrize(
    ("line", "keep", "workers"),
    [
        ("", None, (1, 1)),
        ('keep = "90s"', 90, (1, 1)),
        ('keep = "2h"\nworkers = "1..4"', 7200, (1, 4)),
        ("workers = 2", None, (2, 2)),
    ],
)
def test_how_long_it_stays_and_how_many_workers_it_has(
    tmp_path: Path, line: str, keep: float | None, workers: tuple[int, int]
) -> None:
    (path := tmp_path / "models.toml").write_text(f'[[model]]\nid = "m"\nengine = "echo"\n{line}\n')
    [model] = models_toml.read(str(path))
    assert (model.keep, model.workers) == (keep, workers)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        *((line, "must be `always`") for line in ('keep = "10"', 'keep = "ever"')),
        ("keep = 5", "must be a string, but is a whole number"),
        *(
            (f"workers = {said}", "must be 1 to 64, or the least and the most")
            for said in ('"4..1"', "0", "65", '"many"', '"0..2"', '" 2 .. 4 "', '"2.."', '"..2"', '"1..2..3"', '"1_0"')
        ),
        ("workers = {least = 1}", "must be a whole number or a string, but is a table"),
        ("workers = true", "must be a whole number or a string, but is a boolean"),
    ],
)
def test_what_is_neither(tmp_path: Path, line: str, words: str) -> None:
    (path := tmp_path / "models.toml").write_text(f'[[model]]\nid = "m"\nengine = "echo"\n{line}\n')
    with pytest.raises(ConfigError, match=f"model 1.*key '{line.split()[0]}': {words}"):
        models_toml.read(str(path))
