"""A GPT-J of 127 million random weights in Q4_0, in the containers that the runtimes of its time read."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType
from gguf.quants import quantize

VOCABULARY, CONTEXT, WIDTH, HEADS, LAYERS, ROTARY = 27_648, 2048, 768, 12, 12, 64
_FILE_TYPE = 2002
_MAGIC = {"ggml": b"lmgg", "ggjt": b"tjgg" + struct.pack("<I", 3)}


def word(token: int) -> str:
    """The text of a token from 257 on; 256 is what they begin with, so that there is something to merge."""
    return f" w{token}"


def spelled(token: int) -> bytes:
    """The bytes of a token; the last one ends an answer."""
    if token == VOCABULARY - 1:
        return b"<|endoftext|>"
    return bytes([token]) if token < 256 else b" w" if token == 256 else word(token).encode()


def write(folder: Path) -> dict[str, Path]:
    """The same model in each container."""
    paths = {container: folder / f"gptj-127m-{container}.bin" for container in _MAGIC}
    tensors = list(_tensors())
    for container, path in paths.items():
        with path.open("wb") as file:
            head = (VOCABULARY, CONTEXT, WIDTH, HEADS, LAYERS, ROTARY, _FILE_TYPE, VOCABULARY)
            file.write(_MAGIC[container] + struct.pack("<8i", *head))
            for token in range(VOCABULARY):
                text = spelled(token)
                file.write(struct.pack("<I", len(text)) + text)
                file.write(b"" if container == "ggml" else struct.pack("<f", 0.0))
            for name, shape, kind, data in tensors:
                label = name.encode()
                file.write(struct.pack(f"<3i{len(shape)}i", len(shape), len(label), kind, *shape) + label)
                file.write(bytes(-file.tell() % 32) if container == "ggjt" else b"")
                file.write(data)
    return paths


def _tensors() -> Iterator[tuple[str, tuple[int, ...], int, bytes]]:
    """(name, shape with the innermost dimension first, type, bytes)."""
    random = np.random.default_rng(1)

    def matrix(name: str, rows: int, columns: int) -> tuple[str, tuple[int, ...], int, bytes]:
        values = (random.standard_normal((rows, columns)) * 0.02).astype(np.float32)
        return name, (columns, rows), 2, quantize(values, GGMLQuantizationType.Q4_0).tobytes()

    def vector(name: str, values: npt.NDArray[np.float32]) -> tuple[str, tuple[int, ...], int, bytes]:
        return name, values.shape, 0, values.tobytes()

    ones, zeros = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
    yield matrix("transformer.wte.weight", VOCABULARY, WIDTH)
    yield vector("transformer.ln_f.weight", ones)
    yield vector("transformer.ln_f.bias", zeros)
    yield matrix("lm_head.weight", VOCABULARY, WIDTH)
    yield vector("lm_head.bias", np.zeros(VOCABULARY, np.float32))
    for block in (f"transformer.h.{i}." for i in range(LAYERS)):
        yield vector(block + "ln_1.weight", ones)
        yield vector(block + "ln_1.bias", zeros)
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield matrix(f"{block}attn.{part}.weight", WIDTH, WIDTH)
        yield matrix(block + "mlp.fc_in.weight", 4 * WIDTH, WIDTH)
        yield vector(block + "mlp.fc_in.bias", np.zeros(4 * WIDTH, np.float32))
        yield matrix(block + "mlp.fc_out.weight", WIDTH, 4 * WIDTH)
        yield vector(block + "mlp.fc_out.bias", zeros)
