"""The tokens with which a vocabulary marks a gap that is to be filled.

llama.cpp takes them from the metadata, under these names or the older ones, and else knows them by their texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_NAMES = {
    "prefix": ("prefix", "fim_pre"),
    "suffix": ("suffix", "fim_suf"),
    "middle": ("middle", "fim_mid"),
    "repository": ("fim_rep",),
    "file": ("fim_sep",),
}
"""In the metadata, the name that counts first: `tokenizer.ggml.<name>_token_id`."""
_TEXTS = {
    "prefix": "<|fim_prefix|> <fim-prefix> <fim_prefix> <｜fim▁begin｜> <PRE> ▁<PRE> <|code_prefix|> <|prefix|>",  # noqa: RUF001  # as files have them
    "suffix": "<|fim_suffix|> <fim-suffix> <fim_suffix> <｜fim▁hole｜> <SUF> ▁<SUF> <|code_suffix|> <|suffix|>",  # noqa: RUF001  # as files have them
    "middle": "<|fim_middle|> <fim-middle> <fim_middle> <｜fim▁end｜> <MID> ▁<MID> <|code_middle|> <|middle|>",  # noqa: RUF001  # as files have them
    "repository": "<|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame>",
    "file": "<|file_sep|>",
}


@dataclass(frozen=True, slots=True)
class InfillTokens:
    """Their ids: of what stands before the texts around a gap, and before its filling."""

    prefix: int
    suffix: int
    middle: int
    repository: int | None = None
    """Before the name of a repository, and then its files."""
    file: int | None = None
    """Before the name of a file, and then its text."""

    @property
    def ids(self) -> tuple[int, ...]:
        every = (self.prefix, self.suffix, self.middle, self.repository, self.file)
        return tuple(token for token in every if token is not None)


def find_infill(metadata: Mapping[str, Any], vocabulary: Sequence[bytes]) -> InfillTokens | None:
    """Those of a GGUF file, whose vocabulary is as it writes it; None where it has not all three that must be."""
    found = {role: token for role in _NAMES if (token := _find(role, metadata, vocabulary)) is not None}
    return InfillTokens(**found) if found.keys() >= {"prefix", "suffix", "middle"} else None


def _find(role: str, metadata: Mapping[str, Any], vocabulary: Sequence[bytes]) -> int | None:
    for name in _NAMES[role]:
        token = metadata.get(f"tokenizer.ggml.{name}_token_id")
        if type(token) is int and 0 <= token < len(vocabulary):
            return token
    texts = {text.encode() for text in _TEXTS[role].split()}
    return next((token for token, word in enumerate(vocabulary) if word in texts), None)
