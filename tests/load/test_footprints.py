"""What a model is said to take of the memory is what it takes, and nothing is killed for want of it.

Run by `make memory`, and by `make footprints` for more; FOOTPRINTS is how many combinations are measured. Those are
made in control groups, by a worker's engine with its host, which read prompts that fill the context where it is small.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from shared.catalogue import Model
from shared.config import Config
from shared.memory import MemoryBudget
from tests.memory_group import MemoryGroup, why_not
from tests.tiny import TINY
from worker.memory import DoesNotFit, fit_context

CALCULATED, MEASURED = 1000, int(os.environ.get("FOOTPRINTS", "8"))
LONG = 1_048_576
GIB = 1 << 30
NEAR = 0.1

pytestmark = pytest.mark.skipif(bool(why := why_not()), reason=why)


def disguise(target: Path, *, context: int, layers: int = 2, head: int = 0, vocabulary: int = 0) -> Path:
    """The tiny model, with the context in its header, and keys and values that are `head` numbers in each layer."""
    reader = gguf.GGUFReader(TINY)
    writer = gguf.GGUFWriter(target, "llama")
    changed: dict[str, Any] = {"llama.context_length": context}
    if head:
        changed |= {"llama.attention.key_length": head, "llama.attention.value_length": head}
        changed |= {"llama.attention.head_count": 1, "llama.attention.head_count_kv": 1, "llama.block_count": layers}
        changed |= {"llama.rope.dimension_count": head}
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture" or field.name in changed:
            continue
        kind, inner = field.types[0], field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(field.name, field.contents(), kind, inner)
    for name, value in changed.items():
        writer.add_uint32(name, value)
    draws = np.random.default_rng(0)
    width = int(reader.fields["llama.embedding_length"].contents())
    for tensor in reader.tensors:
        if not head or not tensor.name.startswith("blk."):
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        elif tensor.name.startswith("blk.0."):
            for layer in range(layers):
                data, part = tensor.data, tensor.name.removeprefix("blk.0.")
                shape = {"attn_output.weight": (width, head)}.get(part, (head, width))
                name = f"blk.{layer}.{part}"
                if part in ("attn_q.weight", "attn_k.weight", "attn_v.weight", "attn_output.weight"):
                    writer.add_tensor(name, draws.normal(0, 0.02, shape).astype(np.float16))
                else:
                    writer.add_tensor(name, data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


def start(group: MemoryGroup, path: Path, fills: int, **settings: Any) -> dict[str, Any]:
    """What `tests.load.filled` says."""
    given = json.dumps({"path": str(path), "fills": fills, "batch_size": 128, **settings})
    ran = subprocess.run(
        [sys.executable, "-m", "tests.load.filled", str(group.entry), given],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    return [
        disguise(folder / "tiny.gguf", context=LONG),
        disguise(folder / "deep.gguf", context=32_768, layers=16, head=64),
        disguise(folder / "wide.gguf", context=LONG, layers=8, head=512),
    ]


def test_a_context_of_a_million_tokens_in_a_gigabyte(tmp_path: Path) -> None:
    path = disguise(tmp_path / "long.gguf", context=LONG, layers=128, head=1024)
    with MemoryGroup(GIB) as group:
        told = start(group, path, LONG, slots=1)
        assert 1024 <= told["context"] < LONG // 10
        assert told["read"] == told["context"] - 4
        assert told["calculated"] > GIB * 0.8
        assert abs(told["calculated"] - group.most) < NEAR * told["calculated"], group.most
        assert group.killed == 0


def test_weights_that_do_not_fit_are_refused_in_words(tmp_path: Path) -> None:
    path = disguise(tmp_path / "heavy.gguf", context=4096, layers=8, head=65_536)  # 512 MiB of F16
    with MemoryGroup(GIB // 2) as group:
        told = start(group, path, 100, slots=1)
        assert "tried does not fit: with a context of 1,024 tokens it needs" in told["refused"]
        assert "MiB free of 512 MiB (of this control group)" in told["refused"]
        assert "What helps: a smaller model or quantisation, or more memory" in told["refused"]
        assert group.killed == 0


def test_a_thousand_calculations(files: list[Path]) -> None:
    """With all that is there, no more is taken; one token of context more than what fits would be too much."""
    draws, outcomes = random.Random(1), {"whole": 0, "part": 0, "refused": 0}
    for _ in range(CALCULATED):
        model = Model("tried", "", draws.choice(files), "llama.cpp", None)
        context = draws.choice((0, 0, 256, 1000, 4096, 40_000, 300_000))
        config = Config(slots=draws.choice((1, 4, 16)), batch_size=draws.choice((32, 512)), context=context)
        there = MemoryBudget(int(2 ** draws.uniform(26, 33)), 0, "drawn")
        try:
            fitted = fit_context(model, config, there)
        except DoesNotFit:
            outcomes["refused"] += 1
            continue
        assert fitted.footprint.total <= there.free
        if fitted.said:
            assert not context
            more = fit_context(model, Config(slots=config.slots, batch_size=config.batch_size), BOUNDLESS)
            assert more.footprint.total > there.free
        outcomes["part" if fitted.said else "whole"] += 1
    assert all(count > CALCULATED // 20 for count in outcomes.values()), outcomes


BOUNDLESS = MemoryBudget(1 << 60, 0, "boundless")


@pytest.mark.parametrize("number", range(MEASURED))
def test_what_is_calculated_is_what_is_measured(files: list[Path], number: int) -> None:
    """In a group with a bound, of which a worker takes what is left of it for its context."""
    draws = random.Random(number)
    path, slots = draws.choice(files), draws.choice((1, 2, 4, 8))
    settings: dict[str, Any] = {"slots": slots, "batch_size": draws.choice((32, 128, 512))}
    if draws.random() < 0.5:
        settings["context"] = draws.choice((512, 4096, 30_000))
    limit = draws.choice((160, 256, 400, 700)) << 20
    told = {"batch_size": 128, **settings, "threads": 1, "batch_threads": 1}
    fit_context(Model("tried", "", path, "llama.cpp", None), Config(**told), BOUNDLESS)  # which takes a child, too
    with MemoryGroup(limit) as group:
        told = start(group, path, 600, **settings)
        assert group.killed == 0
        if "refused" in told:
            assert "What helps:" in told["refused"]
        else:
            assert told["calculated"] <= limit
            assert group.most < told["calculated"] * (1 + NEAR), (told, group.most)
            untouched = 0 if told["read"] >= told["context"] - 4 else told["compute"]  # it is as long as what was read
            assert group.most > (told["calculated"] - untouched) * (1 - NEAR), (told, group.most)
