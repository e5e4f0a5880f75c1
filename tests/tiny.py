"""The tiny model of llama.cpp, and engines that run it or another file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import gguf
from msgspec.structs import replace

from shared.catalogue import Model
from shared.config import Config
from shared.protocol import Completion, Prompt, Sampling
from tests.answers import run, tokens
from worker.engines.llama_cpp import LlamaCppEngine

TINY = Path(__file__).parent / "fixtures" / "tiny-llama.gguf"
REFERENCE = json.loads(TINY.with_suffix(".json").read_text())
"""What transformers says of it."""


def tiny(path: Path = TINY, **more: Any) -> Model:
    return Model("tiny", "", path, "llama.cpp", None, **more)


def roomy(folder: Path, source: Path = TINY) -> Path:
    """The tiny model, or another file of it, with a context of 8,192 tokens: its weights are random anyway."""
    data, key = source.read_bytes(), b"llama.context_length"
    at = data.index(key) + len(key) + 4
    path = folder / "roomy.gguf"
    path.write_bytes(data[:at] + (8192).to_bytes(4, "little") + data[at + 4 :])
    return path


def other_weights(content: bytes) -> bytes:
    """The same file with other weights at its end, all of them numbers."""
    size = 200_000
    return content[:-size] + b"".join(
        content[at : at + 4] for at in range(len(content) - 4, len(content) - size - 1, -4)
    )


def split(source: Path, target: Path) -> None:
    """Write a model into several files beside `target`, as llama.cpp's gguf-split does."""
    reader = gguf.GGUFReader(source)
    field = reader.fields["general.architecture"]
    writer = gguf.GGUFWriter(
        target, str(field.contents()), split_max_tensors=len(reader.tensors) // 3 + 1, small_first_shard=True
    )
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind, inner = field.types[0], field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(field.name, field.contents(), kind, inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def loaded(path: Path = TINY, slots: int = 1, **more: Any) -> closing[LlamaCppEngine]:
    return closing(LlamaCppEngine(tiny(path, **more), Config(slots=slots, threads=1)))


def greedy(prompt: Prompt, max_tokens: int | None = None, stop: tuple[str, ...] = ()) -> Completion:
    sampling = Sampling(seed=1, max_tokens=max_tokens, temperature=0.0, stop=stop, ignore_eos=True)
    return Completion("tiny", (prompt,), sampling)


def likeliest(path: Path, prompt: Sequence[int], count: int) -> list[int]:
    """So many tokens after the prompt, from an engine of its own."""
    with loaded(path) as engine:
        return tokens(run(engine, replace(greedy(tuple(prompt), count), token_ids=True)))
