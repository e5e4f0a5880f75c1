"""The header of a GGUF file, read and checked before any native code sees the file.

llama.cpp answers some bad files with an abort, and most without a reason. So every count, length, offset and size is
compared with the file here before it is used; nothing is allocated that the file's own bytes do not account for.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from shared.errors import ModelFileError
from shared.misfits import WrongFile
from shared.regular_file import open_regular
from worker.formats.cursor import U32, U64, Cursor
from worker.formats.ggml import BLOCKS
from worker.formats.gguf_header import Header, MetadataArray, Tensor
from worker.formats.no_model import refuse, tell_kind, why_no_model

__all__ = ["Header", "MetadataArray", "Tensor", "elements", "read_header", "read_model"]

_STRING, _ARRAY = 8, 9
_SCALARS = {i: struct.Struct("<" + c) for i, c in enumerate("BbHhIif?")} | {
    10: U64,
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_TOKENIZER = {
    "tokenizer.ggml.tokens": (_STRING,),
    "tokenizer.ggml.merges": (_STRING,),
    "tokenizer.ggml.scores": (6,),  # float32
    "tokenizer.ggml.token_type": (4, 5),  # uint32, int32
}
_KEY_BYTES, _NAME_BYTES, _TEXT_BYTES = 65_535, 63, 16 << 20
_DIMENSIONS = 4


def read_header(path: Path) -> Header:
    """Read and check the header of a GGUF file, without touching its weights.

    Raises:
        ModelFileError: the file is missing, truncated, not GGUF, or inconsistent; says what is wrong at which byte.
    """
    try:
        with open_regular(path) as file:
            if file.read(4) != b"GGUF":
                raise ModelFileError(f"{path}: at byte 0: this is not a GGUF file: it does not begin with 'GGUF'")
            return _GgufReader(path, file, at=4).header()
    except OSError as exc:
        raise ModelFileError(f"{path}: cannot be read: {exc.strerror or exc}") from exc


def read_model(path: Path) -> Header:
    """The header of a GGUF file that is a model of texts. Raises ModelFileError, also where it is something else."""
    header = read_header(path)
    if reason := why_no_model(header):
        raise refuse(path, reason)
    return header


def elements(path: Path, array: MetadataArray) -> list[Any]:
    """The values of an array of the metadata of a file whose header has been read; strings are bytes. Raises
    ModelFileError and OSError where that has changed since."""
    with open_regular(path) as file:
        reader = _GgufReader(path, file)
        if array.kind == _STRING:
            return list(reader.strings(array))
        scalar = _SCALARS[array.kind]
        return [value for (value,) in scalar.iter_unpack(reader.bytes_at(array.offset, array.count * scalar.size))]


def _is_name(architecture: str) -> bool:
    """Everybody is told it, of each model that is offered."""
    return architecture.isprintable() and 0 < len(architecture) <= _NAME_BYTES


def find_fault(metadata: Mapping[str, Any], tensors: Sequence[Tensor]) -> tuple[str, str] | None:
    """The key of a count of blocks that all tensors of a model do not bear out, and what is wrong with it.

    llama.cpp allocates by the block count before it looks for the blocks, and aborts when it is too high.
    """
    most = sum("blk." in tensor.name for tensor in tensors)
    for key, value in metadata.items():
        if key.endswith(".block_count") and (type(value) is not int or not 0 <= value <= most):
            return key, f"{key} is {value!r}, but the file has {most} tensors of blocks"
    return None


class _GgufReader(Cursor):
    def header(self) -> Header:
        version = self.version()
        tensor_count, pair_count = self.count("tensors", 24), self.count("metadata pairs", 13)
        places: dict[str, int] = {}
        pairs: dict[str, tuple[int, int]] = {}
        metadata: dict[str, Any] = {}
        for _ in range(pair_count):
            start = self.at
            key = self.text("a metadata key", _KEY_BYTES, strict=True)
            if key in places:
                self.refuse(start, f"the metadata key {key!r} is there twice")
            places[key] = start
            metadata[key] = self.value(key)
            pairs[key] = start, self.at
        part, parts = (found if type(found := metadata.get(f"split.{name}")) is int else 0 for name in ("no", "count"))
        if tensor_count == 0 and parts < 2:
            words = "tokenizer.ggml.tokens" in metadata
            what = ": it is a vocabulary alone; serve the file that has the model's weights" if words else ""
            self.refuse(8, f"the file has no tensors{what}", WrongFile)
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or alignment <= 0 or alignment & (alignment - 1):
            self.refuse(places["general.alignment"], f"general.alignment is {alignment!r}, which is no power of two")
        tensors = self.tensors(tensor_count, alignment)
        architecture = metadata.get("general.architecture")
        if part > 0:  # the first one tells it
            architecture = architecture or ""
        if not isinstance(architecture, str) or not (_is_name(architecture) or (part > 0 and not architecture)):
            kind = tell_kind(metadata)
            what = f"this is {kind}" if kind else "general.architecture is missing or no name"
            self.refuse(places.get("general.architecture", 24), what, WrongFile)
        if parts < 2 and (fault := find_fault(metadata, tensors)):
            self.refuse(places[fault[0]], fault[1])
        self.check_vocabulary(metadata, places)
        data_offset = self.data_offset(alignment)
        facts = MappingProxyType(metadata)
        return Header(version, alignment, architecture, facts, tensors, data_offset, MappingProxyType(pairs))

    def version(self) -> int:
        version: int = self.number(U32)
        if version & 0xFFFF == 0 and version:
            self.refuse(4, "this is a big-endian file; only little-endian ones can be served")
        if version not in (2, 3):
            self.refuse(4, f"GGUF version {version} is not supported; versions 2 and 3 are")
        return version

    def value(self, key: str) -> Any:
        start, kind = self.at, self.number(U32)
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.text(f"the value of {key!r}", _TEXT_BYTES)
        if kind != _ARRAY:
            self.refuse(start, f"{key!r} has the unknown type {kind}")
        start, kind = self.at, self.number(U32)
        if kind == _ARRAY:
            self.refuse(start, f"{key!r} is an array of arrays, which GGUF readers do not take")
        if kind != _STRING and kind not in _SCALARS:
            self.refuse(start, f"{key!r} is an array of the unknown type {kind}")
        width = 8 if kind == _STRING else _SCALARS[kind].size
        array = MetadataArray(kind, self.count(f"elements of {key!r}", width), self.at)
        if kind == _STRING:
            self.skip_strings(repr(key), array.count)
        else:
            self.at += array.count * width
        return array

    def strings(self, array: MetadataArray) -> Iterator[bytes]:
        """The strings of an array that `skip_strings` has checked."""
        at = array.offset
        for _ in range(array.count):
            (length,) = U64.unpack(self.bytes_at(at, 8))
            yield self.bytes_at(at + 8, length)
            at += 8 + length

    def tensors(self, count: int, alignment: int) -> tuple[Tensor, ...]:
        places, tensors, names = [], [], set()
        for _ in range(count):
            places.append(self.at)
            tensors.append(self.tensor(alignment))
            if tensors[-1].name in names:
                self.refuse(places[-1], f"the tensor {tensors[-1].name!r} is there twice")
            names.add(tensors[-1].name)
        room = self.size - self.data_offset(alignment)
        for tensor, place in zip(tensors, places, strict=True):
            if tensor.offset + tensor.size > room:
                end = self.data_offset(alignment) + tensor.offset + tensor.size
                what = f"the data of tensor {tensor.name!r} ends at byte {end}, but the file has {self.size}"
                self.refuse(place, f"{what}; it is truncated or damaged: fetch it again")
        return tuple(tensors)

    def tensor(self, alignment: int) -> Tensor:
        start, name = self.at, self.text("a tensor's name", _NAME_BYTES, strict=True)
        dimensions = self.number(U32)
        if not 1 <= dimensions <= _DIMENSIONS:
            self.refuse(start, f"tensor {name!r} has {dimensions} dimensions; there can be 1 to {_DIMENSIONS}")
        shape = tuple(self.number(U64) for _ in range(dimensions))
        kind, offset = self.number(U32), self.number(U64)
        if kind not in BLOCKS:
            self.refuse(start, f"tensor {name!r} has the unknown type {kind}")
        elements, (block, width) = math.prod(shape), BLOCKS[kind]
        if not 0 < elements < 1 << 63:
            self.refuse(start, f"tensor {name!r} has the impossible shape {shape}")
        if shape[0] % block:
            self.refuse(start, f"tensor {name!r} has rows of {shape[0]}, which are not whole blocks of {block}")
        if offset % alignment:
            self.refuse(start, f"tensor {name!r} lies at offset {offset}, which is not a multiple of {alignment}")
        return Tensor(name, kind, shape, offset, elements // block * width)

    def data_offset(self, alignment: int) -> int:
        return (self.at + alignment - 1) & -alignment

    def check_vocabulary(self, metadata: Mapping[str, Any], places: Mapping[str, int]) -> None:
        """llama.cpp indexes these arrays without a look at their types and lengths, and aborts on duplicates."""
        arrays = {name: metadata[name] for name in _TOKENIZER if name in metadata}
        for name, array in arrays.items():
            if not isinstance(array, MetadataArray) or array.kind not in _TOKENIZER[name]:
                self.refuse(places[name], f"{name} is not an array of the right type")
        tokens = arrays.pop("tokenizer.ggml.tokens", None)
        if tokens is None:
            return
        arrays.pop("tokenizer.ggml.merges", None)
        for name, array in arrays.items():
            if array.count != tokens.count:
                self.refuse(places[name], f"{name} has {array.count} entries for {tokens.count} tokens")
        seen: dict[bytes, int] = {}
        for i, token in enumerate(self.strings(tokens)):
            if token and seen.setdefault(token, i) != i:
                word = repr(token.decode(errors="replace")[:80])
                where = f"tokens {seen[token]} and {i}"
                self.refuse(places["tokenizer.ggml.tokens"], f"the vocabulary has {word} twice, as {where}")
