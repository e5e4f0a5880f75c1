"""`inferq info`: what a model file says about itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from inferq.commands import arch_flag, models_flag
from inferq.table import align
from inferq.terminal import echo
from inferq.tools.flags import json_flag
from inferq.tools.models import find_model
from inferq.tools.needs import tell_needs
from shared.config import Config
from shared.errors import InvalidRequest

if TYPE_CHECKING:
    from shared.catalogue import Model
    from worker.formats.description import Description

_LONGEST = 80
"""Letters of a text of the metadata that are shown."""


@click.command()
@click.argument("model", metavar="MODEL|FILE")
@click.option("--tensors", is_flag=True, help="list the tensors too")
@click.option("--tokens", is_flag=True, help="list the vocabulary too, as the file writes it")
@arch_flag
@models_flag
@json_flag
def info(model: str, tensors: bool, tokens: bool, arch: str, models_toml: str | None, as_json: bool) -> None:
    """Show what a file says about its model.

    MODEL is a name out of `inferq models` or a source as hf:owner/repository, which is fetched where it is not here; a
    FILE is in GGUF or a legacy GGML format. It is checked as it is before it is served, and what it would take of the
    memory is told, but its weights are not read.
    """
    from worker.formats.description import describe

    models_toml = models_toml or Config.from_env().models
    path, named = _locate(model, models_toml)
    description = describe(path, arch or None)
    needs = {} if description.no_model else tell_needs(named or path, models_toml)
    adapters = dict(named.adapters) if named else {}
    if as_json:
        told = {**_as_object(description, tensors, tokens), "memory": needs or None}
        echo(json.dumps({**told, "adapters": [str(adapter) for adapter in adapters]}, indent=2))
        return
    echo("\n".join(_lines(description, adapters, needs)))
    if tensors:
        echo("\n" + align(_tensor_rows(description)))
    if tokens:
        echo("\n" + align([("ID", "TOKEN"), *((str(i), _token(t)) for i, t in enumerate(description.vocabulary))]))


def _locate(name: str, models_toml: str) -> tuple[Path, Model | None]:
    """The file of that path, whatever it holds, or else the model's of that name. Raises InvalidRequest."""
    if (file := Path(name)).is_file():
        return file, None
    model = find_model(name, models_toml=models_toml)
    if model.path is None:
        raise InvalidRequest(f"{name} has no file")
    return model.path, model


def _lines(description: Description, adapters: Mapping[Path, float], needs: Mapping[str, Any]) -> Iterator[str]:
    version = "" if description.version is None else f" version {description.version}"
    facts = {
        "file": f"{description.path} ({description.size / 1e6:.1f} MB)",
        "container": description.container + version,
        **({"adapters": ", ".join(f"{path} ({scale:g})" for path, scale in adapters.items())} if adapters else {}),
        **({"no model, but": description.no_model} if description.no_model else {}),
        "architecture": description.architecture,
        "name": description.name or "-",
        "quantisation": description.quantisation,
        "parameters": f"{description.parameters:,}",
        "context": "-" if description.context is None else f"{description.context:,}",
        "vocabulary": f"{len(description.vocabulary):,} tokens",
        "chat template": "yes" if description.chat_template else "no",
        "vectors": _vectors(description),
        **_prepared(description.path),
        **_prefixes(description),
        **({"memory": needs["words"]} if needs else {}),
    }
    yield from align(facts.items()).splitlines()
    yield ""
    yield from align((key, _short(value)) for key, value in description.metadata.items()).splitlines()


def _vectors(description: Description) -> str:
    if description.pooling is None:
        return "no"
    pooling = description.pooling.name.lower()
    return f"{description.embedding:,} numbers ({pooling})" if description.embedding else "no; it ranks documents"


def _prepared(path: Path) -> dict[str, str]:
    """What was found out about other weights on this machine, and where they are."""
    from worker.formats.prepared import find

    if (known := find(path)) is None:
        return {}
    measured, made = known
    return {"prepared": f"{made} ({made.stat().st_size / 1e6:.1f} MB)" if made else "no", "faster here": str(measured)}


def _prefixes(description: Description) -> dict[str, str]:
    """Whether what is read of prompts is kept on disk."""
    from worker.formats.gguf import read_header
    from worker.prefixes.fitness import why_not

    if description.container != "GGUF" or description.no_model or description.pooling is not None:
        return {}
    reason = why_not(read_header(description.path), None)
    return {"prefixes": f"not kept: {reason}" if reason else "kept"}


def _tensor_rows(description: Description) -> Iterator[tuple[str, ...]]:
    yield "TENSOR", "TYPE", "SHAPE", "OFFSET", "BYTES"
    for t in description.tensors:
        yield t.name, t.kind, " x ".join(map(str, t.shape)), str(t.offset), str(t.size)


def _as_object(description: Description, tensors: bool, tokens: bool) -> dict[str, Any]:
    from worker.formats.prepared import find

    known = find(description.path)
    answer = {
        "path": str(description.path),
        "size": description.size,
        "container": description.container,
        "version": description.version,
        "architecture": description.architecture,
        "name": description.name,
        "quantisation": description.quantisation,
        "parameters": description.parameters,
        "context": description.context,
        "vocabulary": len(description.vocabulary),
        "chat_template": description.chat_template,
        "no_model": description.no_model or None,
        "pooling": description.pooling.name.lower() if description.pooling else None,
        "embedding": description.embedding or None,
        "prepared": str(known[1]) if known and known[1] else None,
        "metadata": dict(description.metadata),
    }
    if tensors:
        answer["tensors"] = [
            {"name": t.name, "type": t.kind, "shape": t.shape, "offset": t.offset, "size": t.size}
            for t in description.tensors
        ]
    if tokens:
        answer["tokens"] = [token.decode(errors="backslashreplace") for token in description.vocabulary]
    return answer


def _token(token: bytes) -> str:
    return repr(token.decode(errors="backslashreplace"))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} letters)"
