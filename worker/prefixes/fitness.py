"""Which models' snapshots can be trusted: their answers are the same with them and without."""

from __future__ import annotations

from pathlib import Path

from worker.formats.gguf import Header

PLAIN = frozenset(("bloom", "gpt2", "gptneox", "internlm2", "llama", "mpt", "phi2", "qwen2", "qwen3", "smollm3"))
"""Architectures that look back on all tokens alike, of which a snapshot has all that they remember; each was tried."""
_WINDOW = ".attention.sliding_window"
_RECURRENT = (".ssm.", ".wkv.", ".shortconv.", ".attention.recurrent")


def why_not(header: Header, draft: Path | None) -> str:
    """Why there are none of a model; empty where there are."""
    if draft:
        return "it has a draft, whose state is in no snapshot"
    if any(name.endswith(_WINDOW) and value for name, value in header.metadata.items()):
        return "it looks back through a sliding window"
    if any(part in name for name in header.metadata for part in _RECURRENT):
        return "it is recurrent"
    if header.architecture not in PLAIN:
        return f"nobody has tried it with models of {header.architecture}"
    return ""
