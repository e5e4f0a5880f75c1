"""Which models' snapshots can be trusted: their answers are the same with them and without."""

from __future__ import annotations

from pathlib import Path

from worker.formats.gguf import Header

PLAIN = frozenset(
    (
        *("baichuan", "bloom", "chatglm", "command-r", "dbrx", "deepseek", "deepseek2", "falcon", "glm4", "gpt2"),
        *("gptj", "gptneox", "granite", "granitemoe", "internlm2", "llama", "minicpm", "mpt", "nemotron", "olmo"),
        *("olmo2", "olmoe", "orion", "phi2", "qwen", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "refact", "seed_oss"),
        *("smollm3", "stablelm", "starcoder", "starcoder2", "xverse"),
    )
)
"""Architectures that look back on all tokens alike: a snapshot has all that they remember."""
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
