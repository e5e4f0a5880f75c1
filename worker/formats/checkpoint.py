"""Converts Hugging Face checkpoints of some architectures to GGUF, without PyTorch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from gguf.quants import quantize

from shared.errors import ModelFileError
from worker.formats.architectures import CHECKPOINTS
from worker.formats.architectures.mapping import Architecture, Hyper, Weight
from worker.formats.architectures.settings import Settings
from worker.formats.checkpoint_pooling import read_pooling
from worker.formats.checkpoint_tokenizer import read_json, read_tokenizer
from worker.formats.checkpoint_word_pieces import read_word_pieces
from worker.formats.ggml import BLOCKS
from worker.formats.ggml_library import quantise_rows
from worker.formats.gguf_writer import Blob, Data, OnProgress, make_blobs, silent, write
from worker.formats.safetensors import Stored, read_tensors

KINDS = {"f32": (0, 0), "f16": (1, 1), "bf16": (30, 32), "q8_0": (8, 7)}
"""kind -> (ggml's number of the type, and of the file type)."""
_F32, _F16 = 0, 1
_PIECE = 1 << 22
"""Numbers that are converted at once."""
_OTHERS = "convert_hf_to_gguf.py"
"""llama.cpp's own converter, which needs PyTorch."""
_WITHOUT_WEIGHT = (".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias", ".inv_freq")
"""Endings of tensors that were stored by mistake: masks and tables that are no weights."""


def convert(folder: Path, target: Path, kind: str = "f16", progress: OnProgress = silent, *, name: str = "") -> None:
    """Write the checkpoint in `folder` to the GGUF file `target`, its matrices as `kind`, one of `KINDS`.

    The model is called `name`, or else as the folder. The same checkpoint makes the same bytes.

    Raises ModelFileError, naming file and key, for what is missing, damaged, or would be computed otherwise.
    """
    config = read_json(folder / "config.json")
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in CHECKPOINTS:
        _convert_with_llama_cpp(folder, target, kind, str(model_type)[:40])
        return
    architecture = CHECKPOINTS[model_type]
    assert architecture.config_hyper
    try:
        hyper = architecture.config_hyper(Settings(folder / "config.json", config))
    except (ValueError, ZeroDivisionError, OverflowError) as exc:
        raise ModelFileError(f"{folder / 'config.json'}: {exc}") from exc
    if hyper.fault:
        raise ModelFileError(f"{folder / 'config.json'}: {hyper.fault}")
    hyper = replace(hyper, pooling=read_pooling(folder, embeds=not hyper.causal))
    blobs = [*_blobs(folder, architecture, hyper, KINDS[kind][0]), *make_blobs(architecture, hyper)]
    if architecture.word_pieces:
        tokenizer = read_word_pieces(folder, hyper.vocabulary)
    else:
        tokenizer = read_tokenizer(folder, hyper.vocabulary, config)
    name = name or folder.resolve().name
    write(target, architecture, hyper, tokenizer, blobs, file_type=KINDS[kind][1], name=name, progress=progress)


def _blobs(folder: Path, architecture: Architecture, hyper: Hyper, kind: int) -> Iterator[Blob]:
    stored = read_tensors(folder)
    sizes = hyper.sizes
    for weight in architecture.tensors(hyper.layers):
        if not weight.checkpoint:
            continue
        tensor = _pop(stored, weight.checkpoint)
        if tensor is None:
            if weight.optional:
                continue
            raise ModelFileError(f"{folder}: the tensor {weight.checkpoint!r} is missing")
        shape = weight.extent(sizes)
        rows = tensor.shape if weight.transposed else tensor.shape[::-1]
        if rows != shape:
            raise ModelFileError(f"{tensor.path}: {weight.checkpoint!r} has the shape {rows}, but should have {shape}")
        number = kind if len(shape) > 1 and not weight.whole else _F32
        block, width = BLOCKS[number]
        if shape[0] % block:
            number, (block, width) = _F16, BLOCKS[_F16]
        size = int(np.prod(shape)) // block * width
        yield Blob(weight.gguf, number, shape, size, _CheckpointReading(tensor, weight, hyper, number))
    if strangers := [name for name in stored if not name.endswith(_WITHOUT_WEIGHT + architecture.unused)]:
        raise ModelFileError(f"{folder}: {strangers[0]!r} is no tensor of {architecture.name}")


def _pop(stored: dict[str, Stored], name: str) -> Stored | None:
    """Take out a tensor. Checkpoints of a model without its head leave out the first part of the names."""
    return stored.pop(name, None) or stored.pop(name.partition(".")[2], None)


@dataclass(frozen=True, slots=True)
class _CheckpointReading:
    """Reads one tensor, in llama.cpp's order and type."""

    tensor: Stored
    weight: Weight
    hyper: Hyper
    kind: int

    def __call__(self) -> Iterator[Data]:
        """Where rows change places, all of them at once, else in pieces."""
        rows, row = self.tensor.shape[0], int(np.prod(self.tensor.shape[1:]))
        whole = self.weight.transposed or self.weight.checkpoint_order
        step = rows if whole else max(1, _PIECE // row)
        for start in range(0, rows, step):
            values: Any = self.tensor.values(start, start + step)
            if self.weight.transposed:
                values = values.T
            if self.weight.checkpoint_order:
                values = values[self.weight.checkpoint_order(self.hyper)]
            yield self._convert(values)

    def _convert(self, values: Any) -> Data:
        kind = gguf.GGMLQuantizationType(self.kind)
        if kind is gguf.GGMLQuantizationType.Q8_0:
            whole = np.ascontiguousarray(values, np.float32)
            self._check(whole)
            return quantise_rows(whole, self.kind)
        if kind is gguf.GGMLQuantizationType.BF16:
            bits: Data = quantize(np.ascontiguousarray(values, np.float32), kind)
            return bits
        if kind is gguf.GGMLQuantizationType.F32:
            return np.ascontiguousarray(values, np.float32)
        with np.errstate(over="ignore"):
            halves = np.ascontiguousarray(values, np.float16)
        self._check(halves)
        return halves

    def _check(self, values: npt.NDArray[np.floating[Any]]) -> None:
        if not np.isfinite(values).all():
            name, kind = self.weight.checkpoint, gguf.GGMLQuantizationType(self.kind).name.lower()
            raise ModelFileError(
                f"{self.tensor.path}: {name!r} has numbers beyond the range of {kind}; take bf16 or f32"
            )


def _convert_with_llama_cpp(folder: Path, target: Path, kind: str, model_type: str) -> None:
    tool = shutil.which(_OTHERS)
    if tool is None:
        known = ", ".join(CHECKPOINTS)
        raise ModelFileError(
            f"{folder / 'config.json'}: the model type {model_type!r} cannot be converted ({known} can);"
            f" llama.cpp's {_OTHERS} may be able to: put it on the PATH, and this command calls it"
        )
    done = subprocess.run(
        [tool, str(folder), "--outfile", str(target), "--outtype", kind], stdout=sys.stderr, check=False
    )
    if done.returncode:
        raise ModelFileError(f"{folder}: {_OTHERS} ended with status {done.returncode}")
