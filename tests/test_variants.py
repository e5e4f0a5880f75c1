"""Models in GGUF against plain numpy: the variants that checkpoints' configurations allow, and quantised weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import dequantize, quantize
from safetensors.numpy import load_file, save_file

from tests.fixtures.forward import decisions
from tests.fixtures.make_legacy import FOLDERS, KINDS, MODELS, REFERENCE, write
from tests.tiny import likeliest
from worker.formats.architectures import ARCHITECTURES
from worker.formats.checkpoint import convert
from worker.formats.repack import repack

PROMPT = REFERENCE["ids"]
COUNT = 10
WIDE = 0.08
"""A decision that is won by more than this is the same in 16 bits."""
VERY_WIDE = 0.1
"""The same where what is multiplied is rounded to 8 bits, too."""
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
VARIANTS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "bloom with 6 heads": ("bloom", 95, {"hidden_size": 192, "n_head": 6}),
    "mpt with 6 heads, clipped": ("mpt", 2, {"d_model": 192, "n_heads": 6, "attn_config": {"clip_qkv": 0.5}}),
    "mpt with another bias": ("mpt", 48, {"attn_config": {"alibi_bias_max": 4}}),
    "gptj, all rotary": ("gptj", 0, {"rotary_dim": 32}),
    "gptneox, a quarter rotary": ("gpt_neox", 1, {"rope_parameters": {"partial_rotary_factor": 0.25}}),
    "gptneox, all rotary": ("gpt_neox", 8, {"rope_parameters": {"partial_rotary_factor": 1.0}}),
    "gptneox, sequential": ("gpt_neox", 3, {"use_parallel_residual": False}),
    "llama, grouped": ("llama", 8, {"num_key_value_heads": 2}),
    "llama, tied": ("llama", 2, {"tie_word_embeddings": True}),
    "llama, wide heads": ("llama", 0, {"head_dim": 64}),
    "llama, biased": ("llama", 0, {"attention_bias": True}),
    "llama, another base": ("llama", 4, {"rope_parameters": {"rope_theta": 500.0}}),
    "llama, stretched": ("llama", 0, {"rope_parameters": {"rope_type": "linear", "factor": 4.0}}),
    "llama 3": ("llama", 2, {"num_key_value_heads": 1, "rope_parameters": LLAMA3}),
}


def test_numpy_says_what_transformers_says() -> None:
    for name in ("bloom", "gpt2", "gptj", "gpt_neox", "llama", "mpt"):
        config = json.loads((MODELS / name / "config.json").read_text())
        said, tensors = REFERENCE[name]["greedy"], load_file(MODELS / name / "model.safetensors")
        tokens, gaps = decisions(config, tensors, PROMPT, said)
        assert (len(said), tokens) == (16, said)
        assert min(gaps) == pytest.approx(REFERENCE[name]["min_gap"], abs=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_converts_to_the_same_model(variant: str, tmp_path: Path) -> None:
    base, seed, changes = VARIANTS[variant]
    folder, target = Path(shutil.copytree(MODELS / base, tmp_path / base)), tmp_path / "model.gguf"
    config = merged(json.loads((folder / "config.json").read_text()), changes)
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {name: tensor.shape for name, tensor in load_file(folder / "model.safetensors").items()}
    tensors = weights(reshaped(base, config, shapes), seed)
    save_file(tensors, folder / "model.safetensors")
    convert(folder, target)
    said = likeliest(target, PROMPT, COUNT)
    expected, gaps = decisions(config, tensors, PROMPT, said)
    assert said == expected
    assert min(gaps) > WIDE, "weights of another seed are needed"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "F16"])
@pytest.mark.parametrize("architecture", FOLDERS)
def test_a_quantised_legacy_file_says_what_its_dequantised_weights_say(
    architecture: str, kind: str, tmp_path: Path
) -> None:
    """As far as each decision is wide: quantised, llama.cpp rounds what it multiplies the weights by, too."""
    folder, target = MODELS / FOLDERS[architecture], tmp_path / "model.gguf"
    repack(write(architecture, kind, tmp_path / "model.bin"), target)
    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    for weight in ARCHITECTURES[architecture].tensors(2):
        name = weight.checkpoint
        if name in tensors and tensors[name].ndim > 1 and "wpe" not in name:
            rows = tensors[name].T if weight.transposed else tensors[name]
            rounded = dequantize(quantize(rows, GGMLQuantizationType[kind]), GGMLQuantizationType[kind])
            tensors[name] = rounded.T if weight.transposed else rounded
    said = likeliest(target, PROMPT, COUNT)
    expected, gaps = decisions(config, tensors, PROMPT, said)
    wide = [i for i, gap in enumerate(gaps) if gap > VERY_WIDE]
    assert [said[i] for i in wide] == [expected[i] for i in wide]
    assert len(wide) >= 5


def merged(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    parts = {k: {**config[k], **v} if isinstance(v, dict) else v for k, v in changes.items()}
    return {**config, **parts}


def reshaped(base: str, config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The tensors' shapes, after the changed configuration."""
    width = config.get("hidden_size", config.get("d_model", config.get("n_embd")))
    if base in ("bloom", "mpt"):
        embedding = next(name for name in shapes if name.endswith(("wte.weight", "word_embeddings.weight")))
        scaled = {name: tuple(n * width // 128 for n in shape) for name, shape in shapes.items()}
        return scaled | {embedding: (config["vocab_size"], width)}
    if base != "llama":
        return dict(shapes)
    queries, keys = (config[name] * config["head_dim"] for name in ("num_attention_heads", "num_key_value_heads"))
    found = dict(shapes)
    for name in shapes:
        layer, _, part = name.partition(".self_attn.")
        if part in ("q_proj.weight", "k_proj.weight", "v_proj.weight"):
            rows = queries if part[0] == "q" else keys
            found[name] = (rows, width)
            if config["attention_bias"]:
                found[f"{layer}.self_attn.{part[0]}_proj.bias"] = (rows,)
        if part == "o_proj.weight":
            found[name] = (width, queries)
            if config["attention_bias"]:
                found[f"{layer}.self_attn.o_proj.bias"] = (width,)
    if config["tie_word_embeddings"]:
        del found["lm_head.weight"]
    return found


def weights(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, npt.NDArray[np.float32]]:
    """Random ones, exact in 16 bits."""
    random, tensors = np.random.default_rng(seed), {}
    for name in sorted(shapes):
        values = random.normal(0, 0.05 if "wte" in name or "embeddings.weight" in name else 0.2, shapes[name])
        scale = len(shapes[name]) == 1 and name.endswith("weight")  # a norm's
        tensors[name] = (values + scale).astype(np.float16).astype(np.float32)
    return tensors
