"""What kind of model file something is, by its first bytes."""

from __future__ import annotations

import re
from pathlib import Path

from shared.catalogue.model import AUTO
from shared.errors import ModelFileError
from shared.misfits import WrongFile
from shared.regular_file import open_regular

_FOREIGN = (
    (re.compile(rb"PK\x03\x04"), "a zip archive, perhaps a PyTorch checkpoint"),
    (re.compile(rb"\x80[\x02-\x05]"), "a pickle, perhaps a PyTorch checkpoint, which runs code when it is read"),
    (
        re.compile(rb"version https://git-lfs"),
        "a pointer of Git LFS, in place of the file: fetch it with `git lfs pull`",
    ),
    (re.compile(rb"\s*<(!doctype|html)", re.IGNORECASE), "a web page, in place of a file that was to be downloaded"),
    (re.compile(rb"algg"), "a LoRA adapter of an older llama.cpp, which no engine reads any more"),
    (re.compile(rb"lmgg[\x98-\x9a]\xca\0\0\xdc\x05\0\0"), "a model of whisper.cpp, which reads speech, and no text"),
    (
        re.compile(rb"..\0\0.\0\0\0(blk\.|output|token_embd)", re.DOTALL),
        "an importance matrix, which tells how a model is best quantised: serve a model that was made with it",
    ),
    (
        re.compile(rb".{8}\{", re.DOTALL),
        "a safetensors file, which `inferq convert` makes a GGUF file of, with the rest of its checkpoint",
    ),
)
"""How files begin that are no model files, and what they are."""
_HEAD = 64
"""Bytes."""
_LEGACY = {b"lmgg": "ggml", b"fmgg": "ggmf", b"tjgg": "ggjt", b"ccgg": "ggcc"}
"""The magic numbers of legacy GGML files, as they lie in the file, and their containers."""

ARCHITECTURES = {
    **dict.fromkeys(("bloom", "gpt2", "gptj", "gptneox", "llama", "mpt"), "llama.cpp"),
    **dict.fromkeys(("falcon", "starcoder", "dolly-v2", "replit"), "ctransformers"),
}
"""Those of legacy files, and the engine of each. llama.cpp gets them repacked."""


def engine_for(path: Path, architecture: str = "") -> str:
    """The engine that a file wants; AUTO for a legacy one whose `architecture` has yet to be read from it.

    Raises WrongFile for what is no model file, and says what it is; ModelFileError where it cannot be read.
    """
    try:
        with open_regular(path) as file:
            head = file.read(_HEAD)
    except OSError as exc:
        raise ModelFileError(f"{path}: cannot be read: {exc.strerror}") from exc
    magic = head[:4]
    if magic == b"GGUF":
        return "llama.cpp"
    kind = next((kind for begin, kind in _FOREIGN if begin.match(head)), "")
    if magic in _LEGACY and not kind:
        return ARCHITECTURES[architecture] if architecture else AUTO
    if not head:  # somebody may be writing it
        raise ModelFileError(f"{path}: an empty file (it begins with b''); inferq serves GGUF and legacy GGML files")
    kind = kind or "not a model file that inferq knows"
    raise WrongFile(f"{path}: {kind} (it begins with {magic!r}); inferq serves GGUF and legacy GGML files")


def is_legacy(path: Path) -> bool:
    """Whether it begins like a legacy GGML file. Raises OSError."""
    with open_regular(path) as file:
        return file.read(4) in _LEGACY
