"""What is known of a model before its engine has loaded it: a card with gaps, by which requests find it, and wait."""

from __future__ import annotations

import time
from dataclasses import replace

from shared.card import Ability, Card
from shared.catalogue import ARCHITECTURES, AUTO, WITHOUT_FILE, Model
from shared.config import Config
from shared.misfits import WrongFile
from worker.formats.description import describe, is_gguf
from worker.formats.infill import find_infill
from worker.formats.no_model import refuse

OUTLINED = (
    "aliases",
    "base",
    "quantisation",
    "prepared_from",
    "parameters",
    "size",
    "trained_context",
    "embedding",
    "dimensions",
)
"""Fields of a card that an engine has nothing to add to."""


def outline(model: Model, config: Config) -> Card:
    """The card as far as the model's names tell and its file, where that is here. Raises ModelFileError.

    The context is a gap always: how much of it there is, the engine decides.
    """
    engine = "" if model.engine == AUTO else model.engine
    slots, now = model.slots or config.slots, int(time.time())
    card = Card(model.id, engine, "", context=0, slots=slots, created=now, aliases=model.aliases)
    base = model.adapter.base if model.adapter else ""
    card = replace(card, base=base, dimensions=model.dimensions, prepared_from=model.prepared_from)
    card = replace(card, capabilities=model.abilities)
    if model.path is None or engine in WITHOUT_FILE:
        return card
    found = describe(model.path, None if is_gguf(model.path) else model.architecture or None)
    if found.no_model:
        raise refuse(model.path, found.no_model)
    if model.dimensions and model.dimensions[-1] >= found.embedding:
        told = f"vectors of {found.embedding} numbers" if found.embedding else "no vectors"
        raise WrongFile(
            f"{model.path}: models.toml names {model.dimensions[-1]} dimensions for {model.id!r}, which makes {told};"
            " leave `dimensions` out, or name those that its makers say it was trained for"
        )
    served_by = engine or ARCHITECTURES.get(found.architecture, "")
    if found.pooling:
        capabilities: tuple[str, ...] = (found.pooling.ability,)
    else:
        tools = (Ability.TOOLS,) if served_by == "llama.cpp" else ()
        chats = (Ability.CHAT, *tools) if model.chat_format or found.chat_template else ()
        fills = (Ability.INFILL,) if tools and find_infill(found.metadata, found.vocabulary) else ()
        capabilities = (Ability.COMPLETION, *chats, *fills)
    return replace(
        card,
        engine=served_by,
        architecture=found.architecture,
        created=int(model.path.stat().st_mtime),
        capabilities=capabilities,
        quantisation=found.quantisation,
        parameters=found.parameters,
        size=found.size,
        trained_context=found.context or 0,
        embedding=found.embedding,
    )
