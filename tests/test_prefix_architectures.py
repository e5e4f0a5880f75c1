"""Prefixes are kept of those architectures alone whose answers are seen here to be the same with them and without."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
import pytest

from tests.answers import finish, logprobs, run, tokens
from tests.commands import inferq
from tests.fixtures.make_legacy import FOLDERS, MODELS
from tests.prefixes import ask, draw, keeping, snapshots
from tests.stack import running
from tests.tiny import TINY
from worker.formats.checkpoint import convert
from worker.prefixes.fitness import PLAIN

PROMPT = draw(200)
"""Tokens; these files have a context of 256."""
BIASED = ("attn_q.bias", "attn_k.bias", "attn_v.bias")
NORMED = ("attn_q_norm.weight", "attn_k_norm.weight")
UNTRIED = "xverse"
FURTHER: dict[str, tuple[str, ...]] = {
    "internlm2": (),
    "qwen2": BIASED,
    "qwen3": NORMED,
    "smollm3": (),
}
"""Those that are llama but for tensors that each layer has beside: their weights are random anyway."""


def disguise(architecture: str, target: Path) -> None:
    """Write the tiny model of llama as one of another architecture."""
    reader, writer = gguf.GGUFReader(TINY), gguf.GGUFWriter(target, architecture)
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            kind, inner = field.types[0], field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(field.name.replace("llama.", f"{architecture}.", 1), field.contents(), kind, inner)
    draws, sizes = np.random.default_rng(0), {each.name: each.shape for each in reader.tensors}
    heads = int(reader.fields["llama.attention.head_count"].contents())
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        layer, _, name = tensor.name.partition(".attn_norm")
        for more in FURTHER.get(architecture, ()) if name else ():
            part = more.split(".")[0].removesuffix("_norm")
            size = int(sizes[f"{layer}.{part}.weight"][1]) if more in BIASED else int(tensor.shape[0]) // heads
            writer.add_tensor(f"{layer}.{more}", draws.normal(1, 0.2, size).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_all_of_them_are_here() -> None:
    assert {"phi2" if each == "gptj" else each for each in FOLDERS} | FURTHER.keys() == PLAIN  # as they are in GGUF


@pytest.mark.parametrize("architecture", sorted(FOLDERS.keys() | FURTHER.keys()))
def test_an_answer_is_the_same_of_a_snapshot(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.engines.llama_cpp_prefixes.LEAST", 128)
    model, folder = tmp_path / "model.gguf", tmp_path / "prefixes"
    if architecture in FOLDERS:
        convert(MODELS / FOLDERS[architecture], model)
    else:
        disguise(architecture, model)
    with keeping(folder, model, slots=1) as engine:
        read = run(engine, ask(PROMPT, 12, kept=False))
        assert snapshots(folder) == []
        run(engine, ask(PROMPT, 1))
    with keeping(folder, model, slots=1) as engine:
        restored = run(engine, ask(PROMPT, 12))
    assert finish(restored)[1].usage.cached_tokens >= 128 > finish(read)[1].usage.cached_tokens == 0
    assert tokens(restored) == tokens(read)
    assert logprobs(restored) == pytest.approx(logprobs(read), abs=0.01)


def test_others_keep_nothing_and_say_so(tmp_path: Path) -> None:
    disguise(UNTRIED, model := tmp_path / "model.gguf")
    with running(tmp_path, prefixes=tmp_path / "prefixes") as stack:
        stack.start_worker(str(model))
        redis = {"INFERQ_REDIS_URL": str(stack.settings["redis_url"])}
        [worker] = json.loads(inferq("status", "--json", **redis).stdout)["workers"]
        assert worker["no_prefixes"] == "nobody has tried it with models of xverse"
        assert f"ready, no prefixes: {worker['no_prefixes']}" in inferq("status", **redis).stdout
    assert not (tmp_path / "prefixes").exists()
