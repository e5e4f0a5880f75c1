"""Telling models apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from shared.errors import ModelLoadError
from shared.regular_file import open_regular

_SAMPLES, _SAMPLE_BYTES = 256, 4096
_DIGITS = 8


def identity(files: Iterable[Path], *settings: object) -> str:
    """Tells models apart, by samples from all over their files: the whole takes as long to hash as to load."""
    digest = hashlib.sha256(repr(settings).encode())
    for path in files:
        size = path.stat().st_size
        digest.update(size.to_bytes(8))
        with open_regular(path) as file:
            for index in range(_SAMPLES):
                file.seek(index * max(0, size - _SAMPLE_BYTES) // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def digest(identity: str, vocabulary: bytes) -> str:
    """A card's: eight hex digits over a model's identity and the whole of its vocabulary, as its file has it."""
    return hashlib.sha256(identity.encode() + vocabulary).hexdigest()[:_DIGITS]


class OtherFiles(ModelLoadError):
    """What is loaded anew may be served. Has the code of its base."""


def watch(identify: Callable[[], str]) -> Callable[[], None]:
    """What raises OtherFiles once others have taken the place of the files that there are now: a host that is started
    later would compute with another model than the card tells of."""
    before = identify()

    def check() -> None:
        with suppress(OSError):  # who is to read them says what is wrong
            if identify() != before:
                raise OtherFiles("the model's files are not those any more that this worker has loaded")

    return check
