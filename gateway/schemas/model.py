"""The model object of /v1/models."""

from __future__ import annotations

from typing import Any

from shared.registry import Card


def render_model(card: Card) -> dict[str, Any]:
    """OpenAI's model object; `owned_by` is the engine that serves it."""
    return {"id": card.id, "object": "model", "created": card.created, "owned_by": card.engine}
