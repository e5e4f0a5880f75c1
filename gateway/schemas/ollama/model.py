"""Models in Ollama's words."""

from __future__ import annotations

import hashlib
from typing import Any

from marshmallow import validates_schema

from gateway.schemas.ollama.open import Open
from gateway.schemas.ollama.words import tell_time
from gateway.schemas.parameters import Boolean, Ignored, Text
from gateway.schemas.problem import refuse
from shared.card import LATEST, Ability, Card

VERSION = "0.13.0"
"""The release of Ollama whose API this is, by which clients find out what there is."""
NEVER = "9999-12-31T23:59:59Z"
"""When a model leaves that stays."""
_ABILITIES = {
    Ability.COMPLETION: "completion",
    Ability.TOOLS: "tools",
    Ability.INFILL: "insert",
    Ability.REASONING: "thinking",
    Ability.EMBEDDING: "embedding",
}
_UNITS = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))


def tag(name: str) -> str:
    """The name as Ollama has it, with a version."""
    return name if ":" in name else name + LATEST


def list_model(card: Card, name: str) -> dict[str, Any]:
    """Of /api/tags"""
    return {**_named(card, name), "modified_at": tell_time(card.created), "capabilities": _abilities(card)}


def list_running(card: Card, name: str) -> dict[str, Any]:
    """Of /api/ps: nothing of it is in the memory of a graphics card."""
    return {**_named(card, name), "expires_at": NEVER, "size_vram": 0, "context_length": card.context}


def show_model(card: Card) -> dict[str, Any]:
    """/api/show, as far as it is known: little, where the model has yet to be loaded."""
    parameters = [(name, f"{value:g}") for name, value in sorted(card.sampling.items())]
    kind = card.architecture
    info = {
        "general.architecture": kind,
        "general.parameter_count": card.parameters,
        f"{kind}.context_length": card.context,
        f"{kind}.embedding_length": card.embedding,
    }
    return {
        "modelfile": "".join(
            f"{line}\n" for line in (f"FROM {card.id}", *(f"PARAMETER {n} {v}" for n, v in parameters))
        ),
        "parameters": "\n".join(f"{name:<30} {value}" for name, value in parameters),
        "template": "",
        "details": _details(card),
        "model_info": {name: value for name, value in info.items() if kind and value},
        "capabilities": _abilities(card),
        "modified_at": tell_time(card.created),
    }


def _named(card: Card, name: str) -> dict[str, Any]:
    whole = hashlib.sha256(f"{card.id} {card.digest}".encode()).hexdigest()  # of so many digits clients print some
    told = tag(name)
    return {"name": told, "model": told, "size": card.size, "digest": whole, "details": _details(card)}


def _details(card: Card) -> dict[str, Any]:
    return {
        "parent_model": card.base,
        "format": "gguf" if card.size else "",
        "family": card.architecture,
        "families": [card.architecture] if card.architecture else [],
        "parameter_size": _size(card.parameters),
        "quantization_level": card.quantisation,
    }


def _abilities(card: Card) -> list[str]:
    return [word for ability, word in _ABILITIES.items() if ability in card.abilities]


def _size(parameters: int) -> str:
    """As in `134.52M`."""
    unit, letter = next((each for each in _UNITS if parameters >= each[0]), (1, ""))
    return f"{parameters / unit:.4g}{letter}" if parameters else ""


class WantedSchema(Open):
    """Which model is meant, by either name."""

    model = name = Text()
    verbose = Ignored(Boolean())

    @validates_schema
    def is_named(self, data: dict[str, Any], **kwargs: Any) -> None:
        data["model"] = data.get("model") or data.get("name")
        if not data["model"]:
            raise refuse("missing_required_parameter", name="model")


class PullSchema(WantedSchema):
    stream = Boolean(load_default=True)
    insecure = Ignored(Boolean())
