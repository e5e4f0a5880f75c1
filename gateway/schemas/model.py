"""The model object of /v1/models."""

from __future__ import annotations

from typing import Any

from shared.registry import Card


def render_model(card: Card, name: str) -> dict[str, Any]:
    """OpenAI's model object, of a model under one of its names; `owned_by` is the engine that serves it.

    Under an alias it has `root`, the id, as vLLM's has.
    """
    shown = {"id": name, "object": "model", "created": card.created, "owned_by": card.engine}
    return shown if name == card.id else {**shown, "root": card.id}
