"""The architectures whose files are read: one small module each, which serves the legacy reader and both converters."""

from __future__ import annotations

from worker.formats.architectures import bloom, falcon, gpt2, gptj, gptneox, llama, mpt
from worker.formats.architectures.mapping import Architecture

ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
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
    )
}
"""By the names that `--arch` knows."""
