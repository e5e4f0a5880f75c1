"""Files that are no model are refused before an engine host is started for them, and told what they are."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from shared import catalogue
from shared.card import Ability
from shared.catalogue import Model
from shared.catalogue.built_in import BUILT_IN
from shared.config import Config
from shared.errors import ModelFileError
from tests.bare_gguf import make
from tests.commands import inferq
from tests.tiny import tiny
from worker import engines
from worker.engines.host import EngineHost
from worker.engines.outline import outline

CASES: dict[str, tuple[dict[str, Any], str]] = {
    "adapter": (
        {"general__type": "adapter", "adapter__type": "lora"},
        "a LoRA adapter.* give it this file with --lora",
    ),
    "mmproj": ({"architecture": "clip"}, "a projector of images or sounds"),
    "newer mmproj": ({"architecture": "clip", "general__type": "mmproj"}, "a projector of images or sounds"),
    "imatrix": ({"general__type": "imatrix", "tensors": ("blk.0.w.counts",)}, "an importance matrix"),
    "imatrix of nothing": ({"architecture": "", "general__type": "imatrix"}, "an importance matrix"),
    "vocabulary": ({"tensors": (), "tokenizer__ggml__tokens": ["a", "b"]}, "has no tensors: it is a vocabulary alone"),
    "control vector": ({"architecture": "controlvector", "tensors": ("direction.1",)}, "a control vector"),
    "flux": ({"architecture": "flux"}, "architecture flux, which makes pictures"),
    "whisper": ({"architecture": "whisper"}, "architecture whisper, which reads or makes speech"),
    "a later part": ({"split__no": 1, "split__count": 3}, "part 2 of 3 of a model: give the first one"),
}


@pytest.fixture
def no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: Any, **__: Any) -> None:
        raise AssertionError("a host is started")

    monkeypatch.setattr(EngineHost, "__init__", start)


@pytest.mark.usefixtures("no_host")
@pytest.mark.parametrize("case", CASES)
def test_what_is_no_model_is_told_what_it_is(tmp_path: Path, case: str) -> None:
    about, words = CASES[case]
    path = make(tmp_path / "file.gguf", **about)
    for model in (Model("m", f"file:{path}", path, "llama.cpp", None), tiny(draft=path)):
        with pytest.raises(ModelFileError, match=words) as told:
            engines.load(model, Config())
        assert str(path) in told.value.message


@pytest.mark.parametrize("case", ["adapter", "imatrix of nothing"])
def test_the_commands_say_so_at_once(tmp_path: Path, case: str) -> None:
    about, words = CASES[case]
    path = make(tmp_path / "file.gguf", **about)
    begins = words.partition(".*")[0]
    refused = inferq("up", str(path), "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert (refused.returncode != 0, begins in refused.stderr) == (True, True), refused.stderr
    shown = inferq("info", str(path), "--json")
    told = json.loads(shown.stdout)["no_model"] if case == "adapter" else shown.stderr
    assert begins in told


FOREIGN: dict[str, tuple[bytes, str]] = {
    "old imatrix": (struct.pack("<iI22s", 168, 22, b"blk.27.ffn_down.weight"), "an importance matrix"),
    "whisper.cpp": (b"lmgg" + struct.pack("<3i", 51864, 1500, 384), "a model of whisper.cpp"),
    "old adapter": (b"algg\1\0\0\0", "a LoRA adapter of an older llama.cpp"),
    "pickle": (b"\x80\x02ctorch\n", "a pickle"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS"),
    "page": (b"\n<!DOCTYPE html><html>", "a web page"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_other_files_are_told_by_how_they_begin(tmp_path: Path, case: str) -> None:
    content, words = FOREIGN[case]
    path = tmp_path / "model.bin"
    path.write_bytes(content + bytes(100))
    with pytest.raises(ModelFileError, match=words):
        catalogue.resolve(str(path))


class TestVectors:
    """What a model of vectors says of itself, before it is loaded."""

    @pytest.mark.parametrize(
        ("about", "abilities", "length"),
        [
            ({"architecture": "nomic-bert", "nomic-bert__embedding_length": 64}, ("embedding",), 64),
            ({"llama__pooling_type": 3, "llama__embedding_length": 64}, ("embedding",), 64),
            (
                {"llama__pooling_type": 1, "llama__embedding_length": 64, "llama__embedding_length_out": 8},
                ("embedding",),
                8,
            ),
            ({"llama__pooling_type": 4, "llama__embedding_length": 64}, ("rerank",), 0),
            ({"architecture": "bert", "bert__pooling_type": 1, "tensors": ("cls.weight",)}, ("rerank",), 0),
            ({"llama__pooling_type": 0, "llama__embedding_length": 64}, ("completion",), 0),
        ],
    )
    def test_its_abilities(
        self, tmp_path: Path, about: dict[str, Any], abilities: tuple[str, ...], length: int
    ) -> None:
        path = make(tmp_path / "model.gguf", **about)
        card = outline(Model("m", f"file:{path}", path, "llama.cpp", None), Config())
        assert (card.capabilities, card.embedding) == (abilities, length)
        if length == 8:
            assert "8 numbers (mean)" in inferq("info", str(path)).stdout

    def test_built_in_ones_are_known_before_they_are_fetched(self) -> None:
        """So the page offers no chat with a model of vectors, and none is fetched to refuse one."""
        found = {model.id: outline(model, Config()).abilities for model in BUILT_IN if model.origin}
        assert found == {
            "smollm2": {Ability.COMPLETION, Ability.CHAT, Ability.TOOLS},
            "minilm": {Ability.EMBEDDING},
        }

    @pytest.mark.parametrize(("dimensions", "words"), [((16, 64), "vectors of 64 numbers"), ((1024,), "vectors of 64")])
    def test_fewer_dimensions_are_fewer(self, tmp_path: Path, dimensions: tuple[int, ...], words: str) -> None:
        about: dict[str, Any] = {"architecture": "nomic-bert", "nomic-bert__embedding_length": 64}
        path = make(tmp_path / "model.gguf", **about)
        model = Model("m", f"file:{path}", path, "llama.cpp", None, dimensions=dimensions)
        with pytest.raises(ModelFileError, match=words):
            outline(model, Config())

    def test_a_model_of_texts_has_none(self) -> None:
        with pytest.raises(ModelFileError, match="makes no vectors; leave `dimensions` out"):
            outline(tiny(dimensions=(16,)), Config())
