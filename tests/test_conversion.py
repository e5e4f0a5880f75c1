"""Checkpoints and legacy files of six architectures become GGUF files that say the same, token by token."""

from __future__ import annotations

import json
import os
import shutil
import struct
import tracemalloc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from safetensors.numpy import load_file, save_file

from shared.errors import ModelFileError
from shared.file_lock import FileLock
from tests.fixtures.make_legacy import FOLDERS, GENUINE, KINDS, MODELS, REFERENCE, write
from tests.tiny import likeliest, loaded
from worker.formats.architectures import ARCHITECTURES
from worker.formats.architectures.mapping import Hyper
from worker.formats.checkpoint import convert
from worker.formats.legacy import read_legacy
from worker.formats.repack import provide_gguf, repack


def greedy(path: Path, ids: Sequence[int] = REFERENCE["ids"]) -> list[int]:
    return likeliest(path, ids, 16)


def expected(architecture: str) -> list[int]:
    tokens: list[int] = REFERENCE[FOLDERS[architecture]]["greedy"]
    return tokens


@pytest.mark.parametrize("architecture", FOLDERS)
def test_a_checkpoint_converts_to_the_same_model(architecture: str, tmp_path: Path) -> None:
    target = tmp_path / "model.gguf"
    convert(MODELS / FOLDERS[architecture], target, "f32" if architecture == "gpt2" else "f16")
    assert greedy(target) == expected(architecture)
    with loaded(target) as engine:
        assert engine.tokenize(REFERENCE["prompt"]) == REFERENCE["ids"]


@pytest.mark.parametrize("architecture", FOLDERS)
def test_a_legacy_file_repacks_to_the_same_model(architecture: str, tmp_path: Path) -> None:
    source, target = write(architecture, "F16", tmp_path / "model.bin"), tmp_path / "model.gguf"
    repack(source, target)
    assert greedy(target) == expected(architecture)
    if architecture != "bloom":  # whose fixture does not split words as Bloom does, and legacy files do not say how
        with loaded(target) as engine:
            assert engine.tokenize(REFERENCE["prompt"]) == REFERENCE["ids"]


@pytest.mark.parametrize("architecture", FOLDERS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "F16"])
def test_quantised_weights_are_copied_bit_by_bit(architecture: str, kind: str, tmp_path: Path) -> None:
    """Every number of the repacked file is one of the legacy file, in the rows' new order."""
    source, target = write(architecture, kind, tmp_path / "model.bin"), tmp_path / "model.gguf"
    repack(source, target)
    legacy, described = read_legacy(source), ARCHITECTURES[architecture]
    stored = {tensor.name: tensor for tensor in legacy.tensors}
    data = source.read_bytes()
    written = {tensor.name: tensor for tensor in GGUFReader(target).tensors}
    copied = 0
    for weight in described.tensors(legacy.hyper.layers):
        if weight.legacy not in stored:
            continue
        tensor = stored[weight.legacy]
        rows = np.frombuffer(data[tensor.offset : tensor.offset + tensor.size], np.uint8)
        if weight.legacy_order:
            order = weight.legacy_order(legacy.hyper)
            rows = rows.reshape(len(order), -1)[order]
        assert written[weight.gguf].data.tobytes() == rows.tobytes(), weight.gguf
        assert int(written[weight.gguf].tensor_type) == tensor.kind
        copied += tensor.kind == KINDS[kind][0]
    assert copied > 8


@pytest.mark.parametrize("source", GENUINE, ids=[path.stem for path in GENUINE])
def test_the_files_of_rustformers_are_repacked_and_answer(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.gguf"
    repack(source, target)
    with loaded(target) as engine:
        for text in ("naïve café, 日本語 😀", "def main(args): return"):
            ids = engine.tokenize(text)
            assert engine.detokenize(ids) == text.encode()
    assert len(greedy(target, ids)) == 16


def test_large_tensors_are_copied_in_pieces(tmp_path: Path) -> None:
    """A model that is mostly its vocabulary, on a disk that does not store the zeros."""
    source, vocabulary, width = tmp_path / "model.bin", 30_000, 1024
    described = ARCHITECTURES["gptneox"]
    numbers = (vocabulary, 64, width, 8, 1, 32, 1, 1)
    hyper = Hyper(vocabulary, 64, width, 4 * width, 8, 1, 8, width // 8, rotary=32, parallel=True)
    with source.open("wb") as file:
        file.write(b"lmgg" + struct.pack("<8i", *numbers))
        file.write(b"".join(struct.pack("<I", 9) + b"%09d" % i for i in range(vocabulary)))
        for weight in described.tensors(1):
            shape, kind = weight.extent(hyper.sizes), int(len(weight.shape) > 1)
            file.write(struct.pack(f"<{3 + len(shape)}i", len(shape), len(weight.legacy), kind, *shape))
            file.write(weight.legacy.encode())
            file.seek(int(np.prod(shape)) * (4 - 2 * kind) - 1, 1)
            file.write(b"\0")
    repack(source, tmp_path / "warm.gguf")
    tracemalloc.start()
    repack(source, tmp_path / "model.gguf")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert source.stat().st_size > 140_000_000
    assert peak < 70_000_000


class TestTheCache:
    def test_a_legacy_file_is_repacked_once_and_anew_when_it_changes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        source = write("gptj", "Q4_0", tmp_path / "model.bin")
        reports: list[tuple[int, int]] = []
        first = provide_gguf(source, progress=lambda *report: reports.append(report))
        assert reports[-1][0] == reports[-1][1] > 0
        born = first.stat().st_mtime_ns
        assert provide_gguf(source) == first
        assert first.stat().st_mtime_ns == born
        write("gptj", "Q8_0", source)
        assert provide_gguf(source) != first

    def test_the_engine_takes_the_legacy_file_itself(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        assert greedy(write("mpt", "F16", tmp_path / "model.bin")) == expected("mpt")

    def test_of_several_at_once_one_repacks(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        source, makers = write("gptj", "Q4_0", tmp_path / "model.bin"), set()
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda i: provide_gguf(source, progress=lambda *_: makers.add(i)), range(4)))
        assert len(set(made)) == len(makers) == 1

    def test_one_that_was_stopped_is_not_waited_for_for_ever(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr("shared.file_lock.PATIENCE", 0.1)
        source = write("gptj", "Q4_0", tmp_path / "model.bin")
        made = provide_gguf(source)
        with FileLock(made.with_name(f"{made.name}.lock")):
            assert provide_gguf(source) == made
            made.unlink()
            with pytest.raises(ModelFileError, match=f"process {os.getpid()} repacks it"):
                provide_gguf(source)

    def test_what_is_refused_leaves_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        source = write("gptj", "Q4_0", tmp_path / "model.bin")
        source.write_bytes(source.read_bytes()[:-100])
        with pytest.raises(ModelFileError, match="truncated"):
            provide_gguf(source)
        assert [path.suffix for path in (tmp_path / "cache").rglob("*") if path.is_file()] in ([], [".lock"])


class TestCheckpoints:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return Path(shutil.copytree(MODELS / "llama", tmp_path / "llama"))

    def change(self, folder: Path, **values: Any) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | values))

    def test_in_several_files(self, folder: Path, tmp_path: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        names = sorted(tensors)
        (folder / "model.safetensors").unlink()
        places = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(names)}
        for file in set(places.values()):
            save_file({name: tensors[name] for name in names if places[name] == file}, folder / file)
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
        convert(folder, tmp_path / "model.gguf")
        assert greedy(tmp_path / "model.gguf") == expected("llama")

    def test_bf16_out(self, folder: Path, tmp_path: Path) -> None:
        convert(folder, tmp_path / "model.gguf", "bf16")
        assert {tensor.tensor_type.name for tensor in GGUFReader(tmp_path / "model.gguf").tensors} == {"BF16", "F32"}

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"hidden_size": 96}, "has the shape"),
            ({"num_attention_heads": 0}, "config.json"),
            ({"num_hidden_layers": 3}, "model.layers.2"),
            ({"num_hidden_layers": 1}, "is no tensor of llama"),
            ({"hidden_act": "relu"}, "hidden_act"),
            ({"vocab_size": -1}, "vocab_size"),
            ({"model_type": "mamba"}, "mamba.*convert_hf_to_gguf"),
            ({"model_type": []}, "convert_hf_to_gguf"),
        ],
    )
    def test_what_does_not_fit_is_named(
        self, folder: Path, tmp_path: Path, change: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        self.change(folder, **change)
        with pytest.raises(ModelFileError, match=words):
            convert(folder, tmp_path / "model.gguf")

    @pytest.mark.parametrize("keep", [0, 7, 200, -1])
    def test_truncated_weights(self, folder: Path, tmp_path: Path, keep: int) -> None:
        file = folder / "model.safetensors"
        file.write_bytes(file.read_bytes()[:keep])
        with pytest.raises(ModelFileError, match="safetensors"):
            convert(folder, tmp_path / "model.gguf")

    def test_pickled_weights_are_not_touched(self, folder: Path, tmp_path: Path) -> None:
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        with pytest.raises(ModelFileError, match=r"pytorch_model\.bin runs code"):
            convert(folder, tmp_path / "model.gguf")


def test_old_quantisations_are_repacked_where_nothing_is_lost(tmp_path: Path) -> None:
    """Version 0 laid halves of bytes out as neighbours; its scales of Q4_0 have 32 bits, which today's cannot hold."""
    source, target = write("gptneox", "Q5_0", tmp_path / "model.bin"), tmp_path / "model.gguf"
    today = read_legacy(source)
    data = bytearray(source.read_bytes())
    head = data.index((2008).to_bytes(4, "little"))
    data[head : head + 4] = (8).to_bytes(4, "little")
    for tensor in today.tensors:
        if tensor.kind == KINDS["Q5_0"][0]:
            blocks = (
                np.frombuffer(bytes(data[tensor.offset : tensor.offset + tensor.size]), np.uint8).reshape(-1, 22).copy()
            )
            numbers = np.concatenate([blocks[:, 6:] & 15, blocks[:, 6:] >> 4], axis=1)
            blocks[:, 6:] = numbers[:, 0::2] | numbers[:, 1::2] << 4
            data[tensor.offset : tensor.offset + tensor.size] = blocks.tobytes()
    repack(source, target)
    (tmp_path / "old.bin").write_bytes(data)
    repack(tmp_path / "old.bin", tmp_path / "old.gguf")
    ours, theirs = (GGUFReader(path).tensors for path in (tmp_path / "old.gguf", target))
    assert all(a.data.tobytes() == b.data.tobytes() for a, b in zip(ours, theirs, strict=True))


def test_the_hyper_parameters_of_every_architecture_are_possible() -> None:
    for name, folder in FOLDERS.items():
        hyper = read_hyper(name, folder)
        assert hyper.fault == ""
        assert replace(hyper, heads=0).fault
        assert replace(hyper, epsilon=float("nan")).fault


def read_hyper(name: str, folder: str) -> Any:
    from worker.formats.architectures.settings import Settings

    described = ARCHITECTURES[name]
    assert described.config_hyper
    return described.config_hyper(Settings(MODELS / folder, json.loads((MODELS / folder / "config.json").read_text())))
