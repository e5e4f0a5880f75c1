"""The files that llama.cpp is given: a model's, its adapters' and its draft's, each checked before it sees them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from shared import checksums
from shared.catalogue import Model, is_legacy
from shared.config import Config, ConfigError
from shared.cores import share
from shared.errors import ModelFileError
from shared.misfits import EngineMisfit
from worker.chat_formats import template
from worker.engines.llama_cpp_host import DRAFTED, GUESSED
from worker.formats.adapter import check_adapter
from worker.formats.gguf import Header, read_model
from worker.formats.gguf_parts import with_parts
from worker.formats.identity import identity
from worker.formats.pooling import PoolingKind, find_pooling

_F32 = 0
EXACT = 8192
"""Tokens."""


@dataclass(frozen=True, slots=True)
class Files:
    path: Path
    header: Header
    """With the tensors of all parts, whose offsets are in their own files."""
    parts: tuple[Path, ...]
    """All files of the model; one, as a rule."""
    lora: tuple[tuple[Path, float], ...]
    draft: Path | None

    @property
    def pooling(self) -> PoolingKind | None:
        """What it makes of a text; None where it generates one."""
        header = self.header
        return find_pooling(header.architecture, header.metadata, (tensor.name for tensor in header.tensors))

    def exact(self, context: int) -> bool:
        """Whether all that is computed for a context of so many tokens, 0 for the model's own, is to be in 32 bits.

        Weights of 32 bits are for those who compare. The cache is twice as large then, so long contexts do without.
        """
        whole = all(tensor.kind == _F32 for tensor in self.header.tensors)
        return whole and (context or self.header.context_length or EXACT + 1) <= EXACT

    def identify(self, model: Model) -> str:
        """What tells apart whatever comes of these files from what comes of others. Raises OSError."""
        adapters, ropes = dict(self.lora), (model.rope_freq_base, model.rope_freq_scale)
        return identity([*self.parts, *adapters], [scale for _, scale in self.lora], *ropes)

    def _is_stretched(self, context: int) -> bool:
        """Whether a context of so many tokens, 0 for the model's own, has other rotary positions than a short one. How
        long it is changes nothing else: it is what fits the memory, and may be another one at each start."""
        short = self.header.metadata.get(f"{self.header.architecture}.rope.scaling.original_context_length")
        return isinstance(short, int) and (context or self.header.context_length or 0) > short

    def describe(self, parameters: Mapping[str, Any]) -> str:
        """All that decides what llama.cpp computes of tokens. The files are read as a whole, once. Raises OSError."""
        weights = [checksums.digest(path) for path in (*self.parts, *dict(self.lora))]
        names = ("exact", "attention", "kv_cache", "rope_freq_base", "rope_freq_scale")
        said, context = [parameters[name] for name in names], parameters["context"]
        program = parameters.get("program")  # of an engine of the user's own, of which less is known
        said.append(context if program else self._is_stretched(context))
        build = checksums.digest(Path(program)) if program else version("xllamacpp")
        return json.dumps([build, weights, [scale for _, scale in self.lora], said])


def check_files(model: Model) -> Files:
    """A legacy file is repacked into the cache first, which takes a while.

    Raises ModelFileError for the one that is damaged, or is not what it is given for.
    """
    if model.path is None:
        raise EngineMisfit(f"the engine llama.cpp needs a file for the model {model.id!r}")
    path = _gguf(model.path, model.architecture)
    header, parts = with_parts(path, read_model(path))
    if model.adapter and model.adapter.path is None:
        raise ModelFileError(f"{model.id}: its adapter is not here: {model.adapter.source}")
    lora = tuple((check_adapter(adapter, header, path.name), scale) for adapter, scale in model.adapters)
    if model.draft is not None:
        read_model(model.draft)
    # Of several, llama.cpp finds the others by the name of the first, which a link may have alone.
    path = path.absolute() if len(parts) > 1 else path.resolve()
    draft = model.draft.resolve() if model.draft else None
    return Files(path, header, tuple(part.resolve() for part in parts), lora, draft)


def _gguf(path: Path, architecture: str) -> Path:
    try:
        legacy = is_legacy(path)
    except OSError as exc:
        raise ModelFileError(f"{path}: cannot be read: {exc.strerror}") from exc
    if not legacy:
        return path
    from worker.formats.repack import provide_gguf

    return provide_gguf(path, architecture or None)


def context_of(files: Files, config: Config) -> int:
    """Tokens of the context that is named, 0 for the model's own: llama.cpp gives no conversation more than that, so
    what goes beyond it would be memory for nobody. What a program of the user's own gives is not known."""
    own = files.header.context_length
    return min(config.context, own) if own and not config.llama_server else config.context


def threads_of(config: Config) -> tuple[int, int]:
    """For one answer, and for prompts and several answers at once. Where nothing is said or was measured, a core is
    left to all others while one answer is computed."""
    cores, _ = share(config.cores)
    return config.threads or max(1, cores - 1), config.batch_threads or config.threads or cores


def outputs_of(files: Files, config: Config) -> int:
    """Of how many tokens a step tells what comes next: one, and what is guessed after it, of each slot."""
    guessed = DRAFTED if files.draft else GUESSED if config.speculation else 0
    return config.slots * (1 + guessed)


def step_of(files: Files, config: Config) -> int:
    """Tokens of a step; llama.cpp aborts where it has fewer than outputs."""
    return max(config.step, outputs_of(files, config))


def host_parameters(model: Model, files: Files, config: Config, batch: int, key: str) -> dict[str, Any]:
    """What the host needs to know, which reads `batch` tokens a step, and answers who knows the key.

    Raises ConfigError for settings that exclude each other.
    """
    if config.kv_cache and config.attention == "plain":
        raise ConfigError("attention=plain computes with no cache of 8 bits: leave kv_cache or attention out")
    threads, batch_threads = threads_of(config)
    context = context_of(files, config)
    return {
        "path": str(files.path),
        "reads": [str(path) for path in (*files.parts, *dict(files.lora), files.draft) if path],
        "key": key,
        "context": context,
        "slots": config.slots,
        "threads": threads,
        "batch_threads": batch_threads,
        "batch": batch,
        "exact": files.exact(context),
        "attention": config.attention,
        "kv_cache": config.kv_cache,
        "speculation": config.speculation,
        "lora": [(str(path), scale) for path, scale in files.lora],
        "draft": str(files.draft) if files.draft else "",
        "rope_freq_base": model.rope_freq_base or 0.0,
        "rope_freq_scale": model.rope_freq_scale or 0.0,
        "chat_template": template(model.chat_format) if model.chat_format else "",
    }
