"""Writes GGUF files, a piece of a tensor in memory at a time."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import gguf
import numpy as np
import numpy.typing as npt

from worker.formats.architectures.mapping import Architecture, Hyper
from worker.formats.tokenizer import Tokenizer

logging.getLogger("gguf.gguf_writer").setLevel(logging.WARNING)  # it tells what nobody asks for

OnProgress = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""
Data = npt.NDArray[np.generic]


def silent(done: int, total: int) -> None:
    """The progress that nobody looks at."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A tensor to be written. Its rows are bytes (uint8) where `kind` is a quantised one."""

    name: str
    kind: int
    shape: tuple[int, ...]
    """The innermost first."""
    size: int
    """Bytes."""
    read: Callable[[], Iterator[Data]]
    """Gives them in pieces, the first rows first."""


def write(
    target: Path,
    architecture: Architecture,
    hyper: Hyper,
    tokenizer: Tokenizer,
    blobs: Sequence[Blob],
    *,
    file_type: int,
    name: str,
    progress: OnProgress = silent,
) -> None:
    """Write a model. `file_type` is ggml's number of what most of its weights are."""
    writer = gguf.GGUFWriter(target, architecture.gguf)
    writer.add_name(name)
    writer.add_file_type(file_type)
    _describe(writer, architecture, hyper)
    _add_tokenizer(writer, tokenizer)
    for blob in blobs:
        kind = gguf.GGMLQuantizationType(blob.kind)
        writer.add_tensor_info(blob.name, blob.shape[::-1], np.dtype(np.float32), blob.size, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    total, done = sum(blob.size for blob in blobs), 0
    try:
        for blob in blobs:
            pieces = _Pieces(blob, functools.partial(_report, progress, done, total))
            writer.write_tensor_data(pieces)  # type: ignore[arg-type]  # an array in all that is asked of it
            done += blob.size
    finally:
        writer.close()


def _report(progress: OnProgress, before: int, total: int, more: int) -> None:
    progress(before + more, total)


class _Pieces:
    """What gguf's writer asks of an array, of one that is never in memory as a whole."""

    def __init__(self, blob: Blob, progress: Callable[[int], None]) -> None:
        self.nbytes, self._read, self._progress = blob.size, blob.read, progress

    def tofile(self, file: BinaryIO) -> None:
        done = 0
        for piece in self._read():
            file.write(np.ascontiguousarray(piece).data)  # its own way to write does not say why it cannot
            done += piece.nbytes
            self._progress(done)


def make_blobs(architecture: Architecture, hyper: Hyper) -> Iterator[Blob]:
    """What llama.cpp's graph wants and no file has."""
    for weight in architecture.tensors(hyper.layers):
        if weight.made and (values := weight.made(hyper)).size:
            yield Blob(weight.gguf, 0, values.shape[::-1], values.nbytes, lambda values=values: iter((values,)))  # type: ignore[misc]  # mypy does not see the default


def _describe(writer: gguf.GGUFWriter, architecture: Architecture, hyper: Hyper) -> None:
    writer.add_vocab_size(hyper.vocabulary)
    writer.add_context_length(hyper.context)
    writer.add_embedding_length(hyper.width)
    writer.add_feed_forward_length(hyper.inner)
    writer.add_block_count(hyper.layers)
    writer.add_head_count(hyper.heads)
    writer.add_head_count_kv(hyper.kv_heads)
    if hyper.head * hyper.heads != hyper.width:
        writer.add_key_length(hyper.head)
        writer.add_value_length(hyper.head)
    (writer.add_layer_norm_rms_eps if architecture.rms else writer.add_layer_norm_eps)(hyper.epsilon)
    if hyper.rotary is not None:
        writer.add_rope_dimension_count(hyper.rotary)
    if hyper.rope_base is not None:
        writer.add_rope_freq_base(hyper.rope_base)
    if hyper.rope_linear is not None:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(hyper.rope_linear)
    if hyper.alibi is not None:
        writer.add_max_alibi_bias(hyper.alibi)
    if hyper.clip is not None:
        writer.add_clamp_kqv(hyper.clip)
    if hyper.parallel is not None:
        writer.add_parallel_residual(hyper.parallel)
    if hyper.types:
        writer.add_token_type_count(hyper.types)
    if not hyper.causal:
        writer.add_causal_attention(False)
    if hyper.pooling is not None:
        writer.add_pooling_type(gguf.PoolingType(hyper.pooling))


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    writer.add_tokenizer_model(tokenizer.model)
    if tokenizer.pre:
        writer.add_tokenizer_pre(tokenizer.pre)
    writer.add_token_list(tokenizer.tokens)
    writer.add_token_types([int(kind) for kind in tokenizer.kinds])
    if tokenizer.merges:
        writer.add_token_merges(tokenizer.merges)
    if tokenizer.scores:
        writer.add_token_scores(tokenizer.scores)
    for token, add in (
        (tokenizer.bos, writer.add_bos_token_id),
        (tokenizer.eos, writer.add_eos_token_id),
        (tokenizer.unknown, writer.add_unk_token_id),
        (tokenizer.separator, writer.add_sep_token_id),
        (tokenizer.padding, writer.add_pad_token_id),
        (tokenizer.mask, writer.add_mask_token_id),
    ):
        if token is not None:
            add(token)
    writer.add_add_bos_token(tokenizer.add_bos)
    for name, value in (("lowercase", tokenizer.lowercase), ("strip_accents", tokenizer.strip_accents)):
        if value is not None:
            writer.add_bool(f"tokenizer.ggml.normalizer.{name}", value)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)
