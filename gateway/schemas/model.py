"""The model object of /v1/models."""

from __future__ import annotations

from typing import Any

from shared.card import Card


def render_model(card: Card, name: str, status: str, state: str, reason: str) -> dict[str, Any]:
    """OpenAI's model object, of a model under one of its names, with what others have put there too.

    `root`, `parent` and `max_model_len` are vLLM's, `meta` and `status` llama.cpp's; `state` and `reason` are our own.
    The parent is the base of an adapter. What is not known is null: most of it, where the model has yet to be loaded.
    """
    return {
        "id": name,
        "object": "model",
        "created": card.created,
        "owned_by": card.engine or "inferq",
        "root": card.id,
        "parent": card.base or None,
        "max_model_len": card.context or None,
        "status": {"value": status},
        "state": state,
        "reason": reason or None,
        "engine": card.engine or None,
        "architecture": card.architecture or None,
        "quantisation": card.quantisation or None,
        "capabilities": list(card.capabilities),
        "dimensions": sorted({card.embedding, *card.dimensions}) if card.embedding else [],
        "slots": card.slots,
        "sampling": dict(card.sampling),
        "meta": {
            "n_ctx": card.context or None,
            "n_ctx_train": card.trained_context or None,
            "n_embd": card.embedding or None,
            "n_params": card.parameters or None,
            "size": card.size or None,
        },
    }
