"""Legacy GGML files: everything that such a file says, checked against its bytes before any native code sees it.

Four containers of ten architectures, which no file names: it is taken for the one under which all of it makes sense.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from math import prod
from pathlib import Path

from shared.errors import ModelFileError
from shared.regular_file import open_regular
from worker.formats.architectures import ARCHITECTURES
from worker.formats.architectures.mapping import MOST_BLOCKS, MOST_TOKENS, Architecture, Hyper
from worker.formats.cursor import U32, Cursor
from worker.formats.ggml import BLOCKS

MAGIC = {b"lmgg": "ggml", b"fmgg": "ggmf", b"tjgg": "ggjt", b"ccgg": "ggcc"}
_VERSIONS, _ALIGNED = {"ggmf": (1,), "ggjt": (1, 2, 3), "ggcc": (10,)}, ("ggjt", "ggcc")
_I32, _F32 = struct.Struct("<i"), struct.Struct("<f")
_FLOATS = ("alibi_bias_max", "clip_qkv")
_OLD_BLOCKS = BLOCKS | {2: (32, 20), 3: (32, 24), 8: (32, 36)}
"""Before quantisation version 2 the scales of Q4_0, Q4_1 and Q8_0 had 32 bits."""
_TYPES, _FILE_TYPES = (0, 1, 2, 3, 6, 7, 8, *range(10, 15)), (0, 1, 2, 3, 4, *range(7, 19))
"""From 10 on they are the K-quants, which have looked the same since their first day."""
_MOST_TENSORS, _MOST_DIMENSIONS = 20 * MOST_BLOCKS, 4
_TOKEN_BYTES, _NAME_BYTES = 65_535, 255


@dataclass(frozen=True, slots=True)
class LegacyTensor:
    """`offset` (from the beginning of the file) and `size` are in bytes; the first dimension is the innermost."""

    name: str
    kind: int
    shape: tuple[int, ...]
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Legacy:
    """What a legacy file says about its model."""

    architecture: str
    """One of the names that `--arch` knows."""
    container: str
    version: int
    """Of the container; 0 where it has none."""
    hyperparameters: Mapping[str, int | float]
    hyper: Hyper
    """The same in the terms of all architectures."""
    vocabulary: tuple[bytes, ...]
    scores: tuple[float, ...]
    """One a token; empty in files without."""
    tensors: tuple[LegacyTensor, ...]
    file_type: int
    quantisation_version: int
    """0 and 1 lay out blocks in other ways than 2, today's."""


def read_legacy(path: Path, architecture: str | None = None) -> Legacy:
    """Read and check a legacy file, of the architecture that it turns out to be unless one is given.

    Raises:
        ModelFileError: the file is missing, truncated, damaged, none of these, or could be several; says what is wrong
            at which byte, and names the architectures to choose from.
    """
    if architecture is not None and architecture not in ARCHITECTURES:
        raise ModelFileError(f"{architecture!r} is no architecture; there are {', '.join(ARCHITECTURES)}")
    try:
        with open_regular(path) as file:
            head = file.read(4)
            if head not in MAGIC:
                raise ModelFileError(f"{path}: at byte 0: this is no legacy GGML file: it begins with {head!r}")
            return _read(path, file, MAGIC[head], architecture)
    except OSError as exc:
        raise ModelFileError(f"{path}: cannot be read: {exc.strerror or exc}") from exc


def _read(path: Path, file: BufferedReader, container: str, name: str | None) -> Legacy:
    if name is not None:
        return _LegacyReader(path, file, at=4).read(container, ARCHITECTURES[name])
    found: list[Legacy] = []
    faults: list[tuple[int, str, ModelFileError]] = []
    for candidate in ARCHITECTURES.values():
        reader = _LegacyReader(path, file, at=4)
        try:
            found.append(reader.read(container, candidate))
        except ModelFileError as exc:
            faults.append((reader.at, candidate.name, exc))
    marked = [legacy for legacy in found if ARCHITECTURES[legacy.architecture].marks & set(legacy.vocabulary)]
    plain = [legacy for legacy in found if not ARCHITECTURES[legacy.architecture].marks]
    fitting = marked or plain or found
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(legacy.architecture for legacy in fitting)
        raise ModelFileError(f"{path}: this could be {names}; say which with --arch")
    _, guess, fault = max(faults, key=lambda each: each[0])
    raise ModelFileError(
        f"{fault.message} (read as {guess}, which fits best; name another with --arch: {', '.join(ARCHITECTURES)})"
    )


class _LegacyReader(Cursor):
    def read(self, container: str, architecture: Architecture) -> Legacy:
        if container not in architecture.containers:
            self.refuse(0, f"{architecture.name} does not come in files of the kind {container}")
        version = self.number(U32) if container in _VERSIONS else 0
        if container in _VERSIONS and version not in _VERSIONS[container]:
            self.refuse(4, f"version {version} of {container} is not known")
        numbers = self.numbers(architecture.layout + (("n_merges",) if container == "ggcc" else ()))
        quantisation, file_type = divmod(int(numbers["ftype"]), 1000)
        if quantisation == 0 and container in _ALIGNED:
            quantisation = min(version - 1, 2)  # files of llama.cpp's own tools do not say
        if quantisation not in (0, 1, 2) or file_type not in _FILE_TYPES:
            self.refuse(self.at - 4, f"the file type {int(numbers['ftype'])} is not known")
        scored = architecture.scored or container != "ggml"
        vocabulary, scores = self.vocabulary(int(numbers["n_vocab"]), scored=scored)
        if container == "ggcc":
            self.merges()
        tensors = self.tensors(BLOCKS if quantisation == 2 else _OLD_BLOCKS, aligned=container in _ALIGNED)
        hyper = self.fit(architecture, numbers, tensors)
        words = _narrow(vocabulary) if architecture.wide else vocabulary
        found = tuple(tensors.values())
        return Legacy(
            architecture.name, container, version, numbers, hyper, words, scores, found, file_type, quantisation
        )

    def numbers(self, layout: tuple[str, ...]) -> dict[str, int | float]:
        numbers: dict[str, int | float] = {}
        for name in layout:
            start = self.at
            value: int | float = self.number(_F32 if name in _FLOATS else _I32)
            if not 0 <= value < 2**31:
                self.refuse(start, f"{name} is {value}")
            if numbers.setdefault(name, value) != value:
                self.refuse(start, f"{name} is {value} here, and {numbers[name]} before")
            if name == "n_vocab" and not 1 <= value <= MOST_TOKENS:
                self.refuse(start, f"a vocabulary of {value} tokens; 1 to {MOST_TOKENS} are possible")
        return numbers

    def vocabulary(self, count: int, *, scored: bool) -> tuple[tuple[bytes, ...], tuple[float, ...]]:
        tokens: list[bytes] = []
        scores: list[float] = []
        for i in range(count):
            tokens.append(self.short(f"token {i}", _TOKEN_BYTES))
            if scored:
                scores.append(self.number(_F32))
        return tuple(tokens), tuple(scores)

    def merges(self) -> None:
        """Falcon's own container has them; they are checked, and not kept."""
        if (count := self.number(U32)) > MOST_TOKENS:
            self.refuse(self.at - 4, f"{count} merges; at most {MOST_TOKENS} are possible")
        for i in range(2 * count):
            self.short(f"a part of merge {i // 2}", _TOKEN_BYTES)

    def short(self, what: str, most: int) -> bytes:
        """Bytes after their length in 32 bits."""
        start, length = self.at, self.number(U32)
        if length > min(most, self.size - self.at):
            self.refuse(start, f"{what} is {length} bytes long; at most {min(most, self.size - self.at)} are possible")
        self.at += length
        return self.bytes_at(self.at - length, length)

    def tensors(self, blocks: Mapping[int, tuple[int, int]], *, aligned: bool) -> dict[str, LegacyTensor]:
        tensors: dict[str, LegacyTensor] = {}
        while self.at < self.size:
            start = self.at
            tensor = self.tensor(blocks, aligned=aligned)
            if tensor.name in tensors:
                self.refuse(start, f"the tensor {tensor.name!r} is there twice")
            tensors[tensor.name] = tensor
            if len(tensors) > _MOST_TENSORS:
                self.refuse(start, f"more than {_MOST_TENSORS} tensors")
            self.at = tensor.offset + tensor.size
        return tensors

    def tensor(self, blocks: Mapping[int, tuple[int, int]], *, aligned: bool) -> LegacyTensor:
        start = self.at
        dimensions, length, kind = (self.number(U32) for _ in range(3))
        if not 1 <= dimensions <= _MOST_DIMENSIONS:
            self.refuse(start, f"a tensor of {dimensions} dimensions; there can be 1 to {_MOST_DIMENSIONS}")
        if length > _NAME_BYTES:
            self.refuse(start + 4, f"a tensor's name of {length} bytes; at most {_NAME_BYTES} are possible")
        shape = tuple(self.number(U32) for _ in range(dimensions))
        if length > self.size - self.at:
            self.refuse(self.at, "the file ends inside a tensor's name")
        name = self.bytes_at(self.at, length).decode(errors="replace")
        self.at += length
        if kind not in _TYPES:
            self.refuse(start + 8, f"the tensor {name!r} has the type {kind}, which is not known")
        if prod(shape) == 0:
            self.refuse(start + 12, f"the tensor {name!r} has the impossible shape {shape}")
        block, width = blocks[kind]
        if shape[0] % block:
            self.refuse(start + 12, f"the rows of {name!r} are {shape[0]} long, which are no whole blocks of {block}")
        offset = (self.at + 31) & -32 if aligned else self.at
        size = prod(shape) // block * width
        if offset + size > self.size:
            what = f"the data of tensor {name!r} ends at byte {offset + size}, but the file has {self.size}"
            self.refuse(start, f"{what}; it is truncated or damaged")
        return LegacyTensor(name, kind, shape, offset, size)

    def fit(self, architecture: Architecture, numbers: Mapping[str, float], tensors: dict[str, LegacyTensor]) -> Hyper:
        """The hyper-parameters, once every tensor that they ask for is there in its shape, and no other."""
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        try:
            hyper = architecture.legacy_hyper(numbers, shapes)
        except KeyError as exc:
            self.refuse(self.at, f"the tensor {exc.args[0]!r} is missing")
        except (ValueError, ZeroDivisionError) as exc:
            self.refuse(4, f"the numbers of its head do not fit {architecture.name}: {exc}")
        if hyper.fault:
            self.refuse(4, f"the numbers of its head do not fit {architecture.name}: {hyper.fault}")
        sizes, expected = hyper.sizes, set()
        for weight in architecture.tensors(hyper.layers):
            if not weight.legacy:
                continue
            expected.add(weight.legacy)
            shape = shapes.get(weight.legacy)
            if shape is None and not weight.optional:
                self.refuse(self.at, f"the tensor {weight.legacy!r} is missing")
            if shape is not None and _trim(shape) != _trim(weight.extent(sizes)):
                place = tensors[weight.legacy].offset
                self.refuse(place, f"{weight.legacy!r} has the shape {shape}, but should have {weight.extent(sizes)}")
        if strangers := shapes.keys() - expected:
            name = min(strangers, key=lambda stranger: tensors[stranger].offset)
            self.refuse(tensors[name].offset, f"{name!r} is no tensor of {architecture.name}")
        return hyper


def _trim(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without outer dimensions of one: some writers pad vectors so."""
    return _trim(shape[:-1]) if len(shape) > 1 and shape[-1] == 1 else shape


def _narrow(vocabulary: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The bytes of a vocabulary that was written as the characters U+0000 to U+00FF, if it was."""
    try:
        return tuple(token.decode().encode("latin-1") for token in vocabulary)
    except UnicodeError:
        return vocabulary
