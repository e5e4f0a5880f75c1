"""Quantising a GGUF file: the same bytes that llama.cpp's llama-quantize writes, from a few megabytes of memory."""

from __future__ import annotations

import re
from pathlib import Path

from shared.errors import InvalidRequest, ModelFileError
from worker.formats.ggml import NAMES
from worker.formats.gguf import Tensor, read_header
from worker.formats.gguf_writer import OnProgress, silent
from worker.formats.mixture import TYPES, kinds
from worker.formats.rewrite import Recast, rewrite

_PLAIN = {0, 1, 30}
"""F32, F16 and BF16: what can be quantised without losing twice."""


def quantise(
    source: Path,
    target: Path,
    kind: str,
    progress: OnProgress = silent,
    *,
    pure: bool = False,
    allow_requantise: bool = False,
) -> None:
    """Write `source`, a GGUF file of f32, f16 or bf16 weights, to `target` in the type `kind`, one of `TYPES`.

    Norms, biases and other small tensors stay as they are. Unless `pure`, some get more bits, as in llama.cpp: first of
    all `output.weight`. Rows that are not whole blocks of 32 become f16.

    Raises:
        InvalidRequest: there is no such type.
        ModelFileError: the source is damaged, holds weights that are no numbers, or is quantised already and
            `allow_requantise` is false.
    """
    if kind not in TYPES:
        raise InvalidRequest(f"there is no type {kind!r}; there are {', '.join(TYPES)}", param="TYPE")
    header = read_header(source)
    tensors = sorted(header.tensors, key=_order)
    targets = kinds(header, tensors, kind, pure=pure)
    work = list(zip(tensors, targets, strict=True))
    for tensor, wanted in work:
        if wanted != tensor.kind and tensor.kind not in _PLAIN and not allow_requantise:
            name = NAMES[tensor.kind]
            raise ModelFileError(
                f"{source}: {tensor.name!r} is quantised already, as {name}, and quantising it again loses more;"
                " take the f16 file, or allow it with --allow-requantize"
            )
    rewrite(
        source,
        header,
        [Recast(source, header.data_offset + tensor.offset, tensor, wanted) for tensor, wanted in work],
        target,
        TYPES[kind][0],
        progress,
    )


def _order(tensor: Tensor) -> tuple[int, str]:
    """llama.cpp writes the tensors outside the blocks first, then block by block, by name."""
    found = re.match(r"blk\.(\d+)\.", tensor.name)
    return (int(found[1]) if found else -1), tensor.name
