"""What models need of the memory, before they are loaded, and the context that fits."""

from __future__ import annotations

from dataclasses import dataclass, replace

from shared.catalogue import WITHOUT_FILE, Model
from shared.config import Config
from shared.memory import DoesNotFit, MemoryBudget, tell
from worker.engines import choose, own_settings
from worker.engines.llama_cpp_files import check_files
from worker.memory.footprint import Footprint
from worker.memory.llama_needs import LlamaNeeds, PoolingNeeds
from worker.memory.needs import LEAST, LegacyNeeds, Needs, NoNeeds


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model with a context that fits."""

    footprint: Footprint
    wanted: int
    """Tokens of the context that it would have had."""
    said: str
    """Why it has another one, with the numbers; empty where it has what was wanted."""


def footprint(model: Model, config: Config) -> Footprint:
    """Of a model with the context of `config`, or else its own. The first time takes a second; then it is known.

    A legacy file that llama.cpp serves is repacked first. Raises EngineError for an engine that there is not,
    ModelFileError.
    """
    needs = find_needs(model, config)
    return needs.of(needs.most)


def fit_context(model: Model, config: Config, there: MemoryBudget) -> Fitted:
    """With the context of `config`, or else the largest that fits, up to the model's own.

    Raises DoesNotFit, which says what is needed, what there is, and what helps; and what `footprint` does.
    """
    config = own_settings(model, config)
    needs = find_needs(model, config)
    wanted = needs.of(needs.most)
    if wanted.total <= there.free:
        return Fitted(wanted, wanted.context, "")
    context = needs.largest(there.free)
    if config.context or context < min(LEAST, needs.most):
        least = wanted if config.context else needs.of(min(LEAST, needs.most))
        raise DoesNotFit(_refuse(model, config, least, there, context))
    found = needs.of(context)
    said = (
        f"the context is {context:,} tokens of {wanted.context:,}, which fits: it takes {tell(found.total)}, all"
        f" of it would take {tell(wanted.total)}, and there are {there}; --context or INFERQ_CONTEXT names another"
    )
    return Fitted(found, wanted.context, said)


def find_needs(model: Model, config: Config) -> Needs:
    config = own_settings(model, config)
    name = choose(model)
    if name in WITHOUT_FILE:
        return NoNeeds(config)
    if name == "ctransformers":
        return LegacyNeeds(model, config)
    files = check_files(model)
    if kind := files.pooling:
        return PoolingNeeds(model, files, config, kind)
    return LlamaNeeds(model, files, config)


def _refuse(model: Model, config: Config, needed: Footprint, there: MemoryBudget, context: int) -> str:
    helps = []
    if context >= LEAST:
        helps.append(f"a context of {context:,} fits: --context {context}")
    single = find_needs(model, replace(config, slots=1, context=needed.context)) if config.slots > 1 else None
    if single and single.of(needed.context).total <= there.free:
        helps.append("one slot fits: --slots 1")
    if not helps:
        helps.append("a smaller model or quantisation, or more memory")
    return (
        f"{model.id} does not fit: with a context of {needed.context:,} tokens it needs {needed}, and there are"
        f" {there}. What helps: {', or '.join(helps)}"
    )
