"""What a model file says about itself, whatever its format."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.card import Ability
from shared.catalogue import size_of
from shared.errors import ModelFileError
from shared.regular_file import open_regular
from worker.formats.ggml import FILE_TYPES, NAMES
from worker.formats.gguf import Header, MetadataArray, elements, read_header
from worker.formats.gguf_parts import with_parts
from worker.formats.legacy import Legacy, read_legacy
from worker.formats.no_model import why_no_model
from worker.formats.pooling import PoolingKind, find_length, find_pooling


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """`shape` begins with the innermost dimension; `offset` (in the file) and `size` are bytes."""

    name: str
    kind: str
    shape: tuple[int, ...]
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Description:
    path: Path
    size: int
    """Bytes of the file."""
    container: str
    version: int | None
    """Of the container, where it has one."""
    architecture: str
    name: str | None
    quantisation: str
    context: int | None
    """Tokens that the model was trained for, where the file says it."""
    chat_template: bool
    no_model: str
    """What it is instead of a model that can be served, and what to do with it; empty where it is one."""
    pooling: PoolingKind | None
    """How it makes vectors; None where it generates text."""
    embedding: int
    """Numbers of its vectors; 0 where it makes none that are told."""
    metadata: Mapping[str, Any]
    """What else the file says: numbers, texts, flags, and the lengths of arrays as text."""
    vocabulary: tuple[bytes, ...]
    """The tokens as the file writes them."""
    tensors: tuple[TensorPlace, ...]

    @property
    def parameters(self) -> int:
        return sum(math.prod(tensor.shape) for tensor in self.tensors)


def describe(path: Path, architecture: str | None = None) -> Description:
    """Read a GGUF or legacy file. `architecture` is what a legacy file holds, where it does not tell.

    Raises:
        ModelFileError: the file is missing or damaged, of another format, or of another architecture than given.
    """
    if not is_gguf(path):
        return _of_legacy(path, read_legacy(path, architecture))
    header = read_header(path)
    if architecture not in (None, header.architecture):
        raise ModelFileError(f"{path}: the file says that it holds {header.architecture}, not {architecture}")
    if not header.metadata.get("split.no"):
        header, _ = with_parts(path, header)
    return _of_gguf(path, header)


def is_gguf(path: Path) -> bool:
    """Raises ModelFileError when the file cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read(4) == b"GGUF"
    except OSError as exc:
        raise ModelFileError(f"{path}: cannot be read: {exc.strerror or exc}") from exc


def _of_gguf(path: Path, header: Header) -> Description:
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    file_type: Any = header.metadata.get("general.file_type")
    tensors = tuple(
        TensorPlace(t.name, NAMES[t.kind], t.shape, header.data_offset + t.offset, t.size) for t in header.tensors
    )
    pooling = find_pooling(header.architecture, header.metadata, (tensor.name for tensor in header.tensors))
    embeds = pooling is not None and pooling.ability is Ability.EMBEDDING
    return Description(
        path=path,
        size=size_of(path),
        container="GGUF",
        version=header.version,
        architecture=header.architecture,
        name=header.name,
        quantisation=FILE_TYPES.get(file_type) or _commonest(tensors),
        context=header.context_length,
        chat_template=header.chat_template is not None,
        no_model=why_no_model(header),
        pooling=pooling,
        embedding=find_length(header.architecture, header.metadata) if embeds else 0,
        metadata={key: _shown(value) for key, value in header.metadata.items()},
        vocabulary=tuple(elements(path, tokens)) if tokens else (),
        tensors=tensors,
    )


def _of_legacy(path: Path, legacy: Legacy) -> Description:
    tensors = tuple(TensorPlace(t.name, NAMES[t.kind], t.shape, t.offset, t.size) for t in legacy.tensors)
    return Description(
        path=path,
        size=path.stat().st_size,
        container=legacy.container,
        version=legacy.version,
        architecture=legacy.architecture,
        name=None,
        quantisation=_commonest(tensors),
        context=next((int(v) for k, v in legacy.hyperparameters.items() if k in ("n_ctx", "max_seq_len")), None),
        chat_template=False,
        no_model="",
        pooling=None,
        embedding=0,
        metadata={**legacy.hyperparameters, "quantization_version": legacy.quantisation_version},
        vocabulary=legacy.vocabulary,
        tensors=tensors,
    )


def _commonest(tensors: Iterable[TensorPlace]) -> str:
    """The type of most weights."""
    weights: Counter[str] = Counter()
    for tensor in tensors:
        weights[tensor.kind] += math.prod(tensor.shape)
    return weights.most_common(1)[0][0]


def _shown(value: Any) -> Any:
    return f"[{value.count} values]" if isinstance(value, MetadataArray) else value
