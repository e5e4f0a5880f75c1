"""What kind of model file something is, by its first bytes."""

from __future__ import annotations

from pathlib import Path

from shared.catalogue.model import AUTO
from shared.errors import ModelFileError
from shared.regular_file import open_regular

_FOREIGN = {b"PK\x03\x04": "a zip archive, perhaps a PyTorch checkpoint"}
_LEGACY = {b"lmgg": "ggml", b"fmgg": "ggmf", b"tjgg": "ggjt", b"ccgg": "ggcc"}
"""The magic numbers of legacy GGML files, as they lie in the file, and their containers."""

ARCHITECTURES = {
    **dict.fromkeys(("bloom", "gpt2", "gptj", "gptneox", "llama", "mpt"), "llama.cpp"),
    **dict.fromkeys(("falcon", "starcoder", "dolly-v2", "replit"), "ctransformers"),
}
"""Those of legacy files, and the engine of each. llama.cpp gets them repacked."""


def engine_for(path: Path, architecture: str = "") -> str:
    """The engine that a file wants; AUTO for a legacy one whose `architecture` has yet to be read from it.

    Raises ModelFileError for what is no model file, and says what it is.
    """
    try:
        with open_regular(path) as file:
            head = file.read(9)
    except OSError as exc:
        raise ModelFileError(f"{path}: cannot be read: {exc.strerror}") from exc
    magic = head[:4]
    if magic == b"GGUF":
        return "llama.cpp"
    if magic in _LEGACY:
        return ARCHITECTURES[architecture] if architecture else AUTO
    if not head:
        kind = "an empty file"
    elif magic in _FOREIGN:
        kind = _FOREIGN[magic]
    elif head[8:9] == b"{":
        kind = "a safetensors file, which `inferq convert` makes a GGUF file of, with the rest of its checkpoint"
    else:
        kind = "not a model file that inferq knows"
    raise ModelFileError(f"{path}: {kind} (it begins with {magic!r}); inferq serves GGUF and legacy GGML files")


def is_legacy(path: Path) -> bool:
    """Whether it begins like a legacy GGML file. Raises OSError."""
    with open_regular(path) as file:
        return file.read(4) in _LEGACY
