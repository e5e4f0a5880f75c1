"""How a byte-level BPE tokenizer splits a text before it merges: tokenizer.json says how, llama.cpp knows names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shared.errors import ModelFileError

_WORDS, _BYTES, _DIGITS = "GPT-2's words", "bytes", "single digits"
_BLOOM = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"
_LLAMA3, _QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
    rf"{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    for digits in (r"\p{N}{1,3}", r"\p{N}")
)
_NAMES = {
    (_WORDS,): "gpt-2",
    (_BLOOM, _BYTES): "bloom",
    (_LLAMA3, _BYTES): "llama-bpe",
    (_QWEN2, _BYTES): "qwen2",
    (_DIGITS, _WORDS): "smollm",
}


def name_of(path: Path, described: Any) -> str:
    """llama.cpp's name of what `described`, the `pre_tokenizer` of the tokenizer.json at `path`, does.

    Raises ModelFileError: llama.cpp would split texts in another way, or not at all.
    """
    steps = described.get("pretokenizers") if isinstance(described, dict) and "pretokenizers" in described else None
    done = tuple(_step(step) for step in (steps if isinstance(steps, list) else [described]))
    if done not in _NAMES:
        what = "; ".join(done)[:200]
        raise ModelFileError(f"{path}: pre_tokenizer splits texts in a way that is not known here: {what}")
    return _NAMES[done]


def _step(described: Any) -> str:
    match described:
        case {"type": "ByteLevel", "add_prefix_space": True}:
            return "a space before each text"
        case {"type": "ByteLevel", "use_regex": False}:
            return _BYTES
        case {"type": "ByteLevel"}:
            return _WORDS
        case {"type": "Digits", "individual_digits": True}:
            return _DIGITS
        case {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated", "invert": False}:
            return pattern
        case {"type": str(kind)}:
            return kind
        case _:
            return "nothing"
