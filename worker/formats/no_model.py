"""GGUF files that are no model, or none that writes or reads texts: what they are, and what to do with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.misfits import WrongFile
from worker.formats.gguf_header import Header

_KINDS = {
    "adapter": "a LoRA adapter, which changes a model: serve the model, and give it this file with --lora"
    " (or lora or adapter in models.toml)",
    "mmproj": "a projector of images or sounds (mmproj), a part of a model: serve the model's other file, which reads"
    " texts without it",
    "imatrix": "an importance matrix, which tells how a model is best quantised: serve a model that was made with it",
    "controlvector": "a control vector, which changes a model, and cannot be applied here: serve the model without it",
}
"""By `general.type`, or by the architecture."""
_PICTURES = "which makes pictures, and no text; stable-diffusion.cpp or ComfyUI may run it"
_SPEECH = "which reads or makes speech, and no text; whisper.cpp or what has made it may run it"
_ELSE = {
    **dict.fromkeys(("sd1", "sdxl", "sd3", "flux", "aura", "hidream", "lumina2", "qwen_image", "chroma"), _PICTURES),
    **dict.fromkeys(("wan", "hyvid", "ltxv", "cosmos", "pig"), _PICTURES),
    **dict.fromkeys(("whisper", "parakeet", "kokoro", "parler-tts", "dia", "wavtokenizer-dec", "qwen3tts"), _SPEECH),
}
"""Architectures of others, or of parts of others."""


def why_no_model(header: Header) -> str:
    """What the file is instead of a model of texts, and what to do with it; empty where it is one."""
    kind = tell_kind(header.metadata)
    part, parts = (header.metadata.get(f"split.{name}") for name in ("no", "count"))
    if kind:
        return kind
    if header.architecture in _ELSE:
        return f"a model of the architecture {header.architecture}, {_ELSE[header.architecture]}"
    if type(part) is int and part > 0:
        return f"part {part + 1} of {parts} of a model: give the first one, and have all of them in one folder"
    return ""


def refuse(path: Path, reason: str) -> WrongFile:
    """The error that the file there is no model, but what `why_no_model` has said."""
    return WrongFile(f"{path}: this is no model that can be served, but {reason}")


def tell_kind(metadata: Mapping[str, Any]) -> str:
    """What the file is instead of a model, as far as its metadata tell."""
    architecture = metadata.get("general.architecture")
    kind = "mmproj" if architecture == "clip" else str(metadata.get("general.type", architecture))
    return _KINDS.get(kind) or _KINDS.get(str(architecture), "")
