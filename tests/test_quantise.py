"""Quantised files are llama.cpp's own, byte for byte."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import quantize

from shared.errors import ModelFileError
from tests.commands import output
from tests.tiny import TINY
from worker.formats.ggml_library import quantise_rows
from worker.formats.gguf import read_header
from worker.formats.quantise import quantise

QUANTISED = json.loads((TINY.parent / "quantised.json").read_text())


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", QUANTISED)
def test_whole_files_are_those_of_llama_quantize(name: str, tmp_path: Path) -> None:
    kind, _, pure = name.partition(" ")
    quantise(TINY, tmp_path / "model.gguf", kind, pure=bool(pure))
    assert digest(tmp_path / "model.gguf") == QUANTISED[name]


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_a_second_implementation_gives_the_same_bytes(kind: str) -> None:
    weights = np.random.default_rng(5).standard_normal((40, 256), np.float32)
    weights[3], weights[4, :32] = 0, 1e-8
    number = GGMLQuantizationType[kind]
    assert np.array_equal(quantise_rows(weights, number.value), quantize(weights, number))


def test_a_tensor_may_be_larger_than_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.formats.rewrite._CHUNK", 1000)
    seen: list[tuple[int, int]] = []
    quantise(TINY, tmp_path / "model.gguf", "Q5_1", lambda done, total: seen.append((done, total)))
    assert digest(tmp_path / "model.gguf") == QUANTISED["Q5_1"]
    total = sum(tensor.size for tensor in read_header(TINY).tensors)
    assert seen == sorted(seen)
    assert seen[-1] == (total, total)
    assert len(seen) > 100


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    header, content = read_header(TINY), bytearray(TINY.read_bytes())
    (tensor,) = (tensor for tensor in header.tensors if tensor.name == "token_embd.weight")
    at = header.data_offset + tensor.offset
    content[at : at + 2] = b"\xff\xff"
    (tmp_path / "nan.gguf").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"'token_embd.weight' has weights that are no numbers"):
        quantise(tmp_path / "nan.gguf", tmp_path / "model.gguf", "Q4_0")


def test_progress_is_shown_at_a_terminal(tmp_path: Path) -> None:
    command = ("quantize", TINY, tmp_path / "model.gguf", "Q8_0", "--force")
    assert str(tmp_path) in output(*command)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    full = [sys.executable, "-P", "-m", "inferq", *map(str, command)]
    subprocess.run(full, check=True, stdout=subprocess.DEVNULL, stderr=theirs)
    os.set_blocking(ours, False)
    assert b"quantising to Q8_0" in os.read(ours, 10_000)
    os.close(theirs)
    os.close(ours)


def test_a_broken_pipe_ends_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-P", "-m", "inferq", "info", str(TINY), "--tokens"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.stderr == b""
