"""What is tried beside the present settings of a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.catalogue import Model
from shared.config import MOST_SLOTS, Config
from shared.cores import share
from shared.errors import ModelFileError
from worker.engines.llama_cpp_calibration_host import SIZES
from worker.engines.llama_cpp_files import threads_of
from worker.engines.own_builds import GRAMMARS

_MUCH_SMALLER = 0.4
"""Of a model's size: what a draft may have, or it takes longer to guess than to compute."""


@dataclass(frozen=True, slots=True)
class Proposal:
    name: str
    changes: Mapping[str, Any]
    """Keys of models.toml, and None for one that is taken out."""
    lossy: bool = False
    """It changes what the model answers."""
    offer: str = ""
    """Why it is told, but never written."""

    def apply(self, model: Model, config: Config) -> tuple[Model, Config]:
        """The model and the configuration with it."""
        changes = dict(self.changes)
        if "draft" in changes:
            model = dataclasses.replace(model, draft=changes["draft"] and Path(changes["draft"]))
            del changes["draft"]
        return model, dataclasses.replace(config, **changes)


PRESENT = Proposal("as it is", {})


def propose(model: Model, config: Config, drafts: list[Path], program: str) -> Iterator[Proposal]:
    """Those that promise most come first. `config` is what fits the machine, `drafts` are files that may guess for the
    model, and `program` is a `llama-server` that was built here, if there is one."""
    cores, siblings = share(config.cores)
    threads, batch_threads = threads_of(config)
    own = model.adapter is None  # else its draft is that of its base
    if model.draft and own:
        yield Proposal("without the draft", {"draft": None})
    elif not (model.draft or config.speculation):
        yield Proposal("guesses from the text", {"speculation": "ngram"})
        for path in drafts[:own]:
            yield Proposal(f"a draft, {path.name}", {"draft": str(path)})
    if program and program != config.llama_server:
        offer = "" if Path(program).parent.name.endswith(GRAMMARS) else "an offer: its answers keep to no schemas"
        yield Proposal("the engine built here", {"llama_server": program}, offer=offer)
    for count in sorted({1, max(1, cores - 1), cores} - {threads})[-2:]:
        named = {"threads": count, "batch_threads": batch_threads}
        yield Proposal(f"{count} thread{'s' * (count > 1)} for one answer", named)
    for count in sorted({cores, siblings} - {batch_threads}):
        named = {"threads": threads, "batch_threads": count}
        yield Proposal(f"{count} thread{'s' * (count > 1)} for several answers", named)
    if 2 * config.slots <= MOST_SLOTS:
        yield Proposal(f"{2 * config.slots} slots", {"slots": 2 * config.slots})
    for size in (2 * config.step, config.step // 2):
        if SIZES[0] <= size <= SIZES[-1]:
            yield Proposal(f"{size} tokens of a prompt a step", {"batch_size": size})
    if config.attention == "plain":
        yield Proposal("flash attention", {"attention": "flash"})
    elif not config.kv_cache:
        yield Proposal("plain attention", {"attention": "plain"})
    if not config.kv_cache and config.attention != "plain":
        yield Proposal("a cache of 8 bits", {"kv_cache": "q8_0"}, lossy=True)


def find_drafts(model: Model, known: list[Model]) -> list[Path]:
    """Files of the known models that have the vocabulary of this one and are much smaller, the smallest first."""
    from worker.formats.gguf import read_header
    from worker.formats.vocabulary import read_vocabulary

    def vocabulary(path: Path) -> bytes:
        return read_vocabulary(path, read_header(path))

    assert model.path is not None, "it was fetched"
    own, size = vocabulary(model.path), model.path.stat().st_size
    found = []
    for other in known:
        path = other.path
        if path is None or path.suffix.lower() != ".gguf":
            continue
        with suppress(ModelFileError, OSError):  # whoever serves that one will hear of it
            if (small := path.stat().st_size) <= _MUCH_SMALLER * size and vocabulary(path) == own:
                found.append((small, path))
    return [path for _, path in sorted(found)]
