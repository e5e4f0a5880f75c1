"""The architectures whose files are read: one small module each, which serves the legacy reader and both converters."""

from __future__ import annotations

from worker.formats.architectures import bert, bloom, falcon, gpt2, gptj, gptneox, llama, mpt
from worker.formats.architectures.mapping import Architecture

_ALL = (
    bloom.ARCHITECTURE,
    gpt2.ARCHITECTURE,
    gptj.ARCHITECTURE,
    gptneox.ARCHITECTURE,
    llama.ARCHITECTURE,
    mpt.ARCHITECTURE,
    falcon.ARCHITECTURE,
    gpt2.STARCODER,
    gptneox.DOLLY,
    mpt.REPLIT,
    bert.ARCHITECTURE,
)
ARCHITECTURES: dict[str, Architecture] = {each.name: each for each in _ALL if each.layout}
"""Those of legacy files, by the names that `--arch` knows."""
CHECKPOINTS: dict[str, Architecture] = {each.model_type: each for each in _ALL if each.model_type}
"""Those of checkpoints, by the `model_type` of their config.json."""
