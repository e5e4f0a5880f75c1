"""The card of a model that llama.cpp has loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.card import Ability, Card
from shared.catalogue import Model
from shared.protocol import FINE
from worker.engines.defaults import recommended
from worker.engines.llama_cpp_files import Files
from worker.formats.identity import digest
from worker.formats.vocabulary import read_vocabulary
from worker.prefixes.fitness import why_not


def make_card(
    model: Model, files: Files, properties: Mapping[str, Any], abilities: Sequence[Ability], pieces: Sequence[bytes]
) -> Card:
    """`properties` are those that llama.cpp tells of itself, `pieces` what each token stands for."""
    header = files.header
    return Card(
        id=model.id,
        engine="llama.cpp",
        architecture=header.architecture,
        context=properties["default_generation_settings"]["n_ctx"],
        slots=properties["total_slots"],
        created=int(files.path.stat().st_mtime),
        capabilities=(Ability.COMPLETION, *abilities),
        digest=digest(files.identify(model), read_vocabulary(files.path, header)),
        longest_piece=max(map(len, pieces), default=0) if header.spells_all else 0,
        honours=tuple(sorted(FINE)),
        sampling=recommended(model, header.sampling),
        unkept=why_not(header, files.draft),
    )
