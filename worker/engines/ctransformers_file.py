"""The file that ctransformers is given, checked before it sees it: it loads others too, and answers nonsense."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from shared.catalogue import is_legacy
from shared.errors import ModelFileError
from shared.regular_file import open_regular
from worker.formats.legacy import Legacy, read_legacy

_CHANGED = (2, 3, 6, 7, 8)
"""Types of tensors whose blocks have not always looked as they do today: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0."""
_TODAYS = 2
_CONTAINERS = {"llama": ("ggmf", "ggjt"), "falcon": ("ggml", "ggmf", "ggjt", "ggcc")}
"""What it reads of architectures that come in others than ggml; it takes Llama's in ggml for another kind."""
_MPT_NUMBERS = 36
"""Bytes of the magic number and the eight numbers before the vocabulary."""


def check_file(path: Path, architecture: str) -> Legacy:
    """What a file says that ctransformers computes as it is meant. Raises ModelFileError for any other."""
    try:
        ours = is_legacy(path)
    except OSError as exc:
        raise ModelFileError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    if not ours:
        raise ModelFileError(f"{path}: this is no legacy GGML file; GGUF files are run by the engine llama.cpp")
    legacy = read_legacy(path, architecture or None)
    if legacy.architecture == "bloom":
        raise ModelFileError(f"{path}: ctransformers has no bloom; the engine llama.cpp runs it")
    if legacy.container not in _CONTAINERS.get(legacy.architecture, ("ggml",)):
        what = f"{legacy.architecture} in files of the kind {legacy.container}"
        raise ModelFileError(f"{path}: ctransformers does not read {what}; the engine llama.cpp does")
    for tensor in legacy.tensors:
        if tensor.kind in _CHANGED and legacy.quantisation_version < _TODAYS:
            old = f"{tensor.name!r} is quantised in version {legacy.quantisation_version}"
            raise ModelFileError(f"{path}: {old}, and ctransformers reads version {_TODAYS}; quantise the model anew")
    if legacy.architecture == "mpt" and not _spells(path, legacy.vocabulary):
        raise ModelFileError(f"{path}: the vocabulary is not written in UTF-8, on which ctransformers aborts")
    return legacy


def _spells(path: Path, vocabulary: Sequence[bytes]) -> bool:
    """Whether an mpt file writes each byte of its tokens as the character of that number."""
    words = [token.decode("latin-1").encode() for token in vocabulary]
    written = b"".join(struct.pack("<I", len(word)) + word for word in words)
    with open_regular(path) as file:
        file.seek(_MPT_NUMBERS)
        return file.read(len(written)) == written
