"""Small models of random weights, one of each kind that takes memory in another way; most of it is what is not weights.

They have the tokenizer of the tiny model, with words added where a vocabulary is to be large.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from tests.adapters import write_adapter
from tests.fixtures.make_legacy import write as write_legacy
from tests.pooling_models import tiny_bert
from tests.tiny import TINY
from worker.formats.pooling import PoolingKind

LONG = 1_048_576
WIDTH, INNER, EXPERTS = 64, 128, 4
Shapes = dict[str, tuple[int, ...]]
"""Of a layer's tensors, with as many rows as the first number says; one number: a vector."""
_NORM, _FEED = (WIDTH,), (INNER, WIDTH)
_DENSE: Shapes = {"ffn_norm": _NORM, "ffn_gate": _FEED, "ffn_up": _FEED, "ffn_down": (WIDTH, INNER)}
_ROUTED: Shapes = {
    "ffn_norm": _NORM,
    "ffn_gate_inp": (EXPERTS, WIDTH),
    "ffn_gate_exps": (EXPERTS, INNER, WIDTH),
    "ffn_up_exps": (EXPERTS, INNER, WIDTH),
    "ffn_down_exps": (EXPERTS, WIDTH, INNER),
}
_ROUTING = {"expert_count": EXPERTS, "expert_used_count": 2, "expert_feed_forward_length": INNER}
_STATE, _KERNEL, _RANK = 256, 4, 8
_RECURRENT = {"ssm.state_size": _STATE, "ssm.conv_kernel": _KERNEL, "ssm.time_step_rank": _RANK}
_RECURRENT |= {"ssm.inner_size": 2 * WIDTH}


def write(
    path: Path,
    architecture: str,
    layers: int,
    shapes: Callable[[int], Shapes],
    facts: Mapping[str, Any],
    *,
    context: int = LONG,
    words: int = 0,
    kind: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F16,
) -> Path:
    """`shapes` are those of the tensors of each layer, `facts` what the header says of the architecture beside what all
    say, and `words` how many tokens the vocabulary has more than that of the tiny model."""
    reader, writer = gguf.GGUFReader(TINY), gguf.GGUFWriter(path, architecture)
    for field in reader.fields.values():
        if field.name.startswith("tokenizer."):
            told, each = field.contents(), field.types[-1] if len(field.types) > 1 else None
            if words and field.name in _A_WORD:
                told = [*told, *(_A_WORD[field.name](number) for number in range(words))]
            writer.add_key_value(field.name, told, field.types[0], each)
    usual = {"context_length": context, "embedding_length": WIDTH, "feed_forward_length": INNER, "block_count": layers}
    for name, value in {**usual, "attention.layer_norm_rms_epsilon": 1e-5, **facts}.items():
        key = f"{architecture}.{name}"
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        else:
            writer.add_uint32(key, value)
    draws = np.random.default_rng(0)

    def add(name: str, shape: tuple[int, ...]) -> None:
        numbers = draws.standard_normal(shape, np.float32) * np.float32(0.02) + np.float32("norm" in name)
        if len(shape) == 1 or name.endswith((".bias", "ssm_a", "ffn_gate_inp.weight", "conv1d.weight")):
            writer.add_tensor(name, numbers)
        elif kind is gguf.GGMLQuantizationType.F16:
            writer.add_tensor(name, numbers.astype(np.float16))
        else:
            writer.add_tensor(name, gguf.quants.quantize(numbers, kind), raw_dtype=kind)

    size = len(reader.fields["tokenizer.ggml.tokens"].contents()) + words
    add("token_embd.weight", (size, WIDTH))
    add("output_norm.weight", _NORM)
    for layer in range(layers):
        for name, shape in shapes(layer).items():
            bare = name.endswith((".bias", "ssm_a", "ssm_d"))
            add(f"blk.{layer}.{name}" if bare else f"blk.{layer}.{name}.weight", shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


_A_WORD: dict[str, Callable[[int], Any]] = {
    "tokenizer.ggml.tokens": lambda number: f"word{number}",
    "tokenizer.ggml.token_type": lambda _: int(gguf.TokenType.NORMAL),
    "tokenizer.ggml.scores": lambda number: -1000.0 - number,
}


def attention(heads: int, shared: int, head: int, *, normed: bool = False) -> Shapes:
    found: Shapes = {
        "attn_norm": _NORM,
        "attn_q": (heads * head, WIDTH),
        "attn_k": (shared * head, WIDTH),
        "attn_v": (shared * head, WIDTH),
        "attn_output": (WIDTH, heads * head),
    }
    return found | ({"attn_q_norm": (head,), "attn_k_norm": (head,)} if normed else {})


def heads(count: int, shared: int, head: int) -> dict[str, Any]:
    given = {"head_count": count, "head_count_kv": shared, "key_length": head, "value_length": head}
    return {f"attention.{name}": value for name, value in given.items()}


def llama(path: Path, layers: int, count: int, shared: int, head: int, **more: Any) -> Path:
    facts = heads(count, shared, head) | {"rope.dimension_count": head}
    return write(path, "llama", layers, lambda _: attention(count, shared, head) | _DENSE, facts, **more)


def sliding(path: Path, *, window: int = 256, layers: int = 12) -> Path:
    """Five of six layers look back on a window alone."""
    shapes = attention(4, 2, 256, normed=True) | _DENSE | {"post_attention_norm": _NORM, "post_ffw_norm": _NORM}
    facts = heads(4, 2, 256) | {"attention.sliding_window": window}
    return write(path, "gemma3", layers, lambda _: shapes, facts)


def experts(path: Path) -> Path:
    shapes = attention(4, 2, 128, normed=True) | _ROUTED
    return write(path, "qwen3moe", 4, lambda _: shapes, heads(4, 2, 128) | _ROUTING)


def latent(path: Path) -> Path:
    """Keys and values of all heads are made of one short vector a token (MLA), and a layer's experts are mixed."""
    count, query, kept, rope, plain, value, layers = 8, 32, 512, 64, 64, 64, 6
    shapes: Shapes = {
        "attn_norm": _NORM,
        "attn_q_a": (query, WIDTH),
        "attn_q_a_norm": (query,),
        "attn_q_b": (count * (plain + rope), query),
        "attn_kv_a_mqa": (kept + rope, WIDTH),
        "attn_kv_a_norm": (kept,),
        "attn_k_b": (count, kept, plain),
        "attn_v_b": (count, value, kept),
        "attn_output": (WIDTH, count * value),
    }
    shared: Shapes = {"ffn_gate_shexp": _FEED, "ffn_up_shexp": _FEED, "ffn_down_shexp": (WIDTH, INNER)}
    facts = heads(count, 1, kept + rope) | _ROUTING
    facts |= {"attention.value_length": kept, "attention.q_lora_rank": query, "attention.kv_lora_rank": kept}
    facts |= {"attention.key_length_mla": plain + rope, "attention.value_length_mla": value}
    facts |= {"rope.dimension_count": rope, "leading_dense_block_count": 1, "expert_shared_count": 1}
    facts |= {"expert_weights_scale": 1.0, "expert_gating_func": 1}
    return write(path, "deepseek2", layers, lambda at: shapes | (_ROUTED | shared if at else _DENSE), facts)


def _mixer() -> Shapes:
    inner = 2 * WIDTH
    return {
        "attn_norm": _NORM,
        "ssm_in": (2 * inner, WIDTH),
        "ssm_conv1d": (inner, _KERNEL),
        "ssm_conv1d.bias": (inner,),
        "ssm_x": (_RANK + 2 * _STATE, inner),
        "ssm_dt": (inner, _RANK),
        "ssm_dt.bias": (inner,),
        "ssm_a": (inner, _STATE),
        "ssm_d": (inner,),
        "ssm_out": (WIDTH, inner),
    }


def recurrent(path: Path) -> Path:
    facts = {**_RECURRENT, "feed_forward_length": 0, "attention.head_count": 0}
    return write(path, "mamba", 16, lambda _: _mixer(), facts)


def hybrid(path: Path) -> Path:
    """One of four layers looks back on all of the context; the others have a state."""
    layers = 16
    mixer = _mixer() | {"ssm_dt_norm": (_RANK,), "ssm_b_norm": (_STATE,), "ssm_c_norm": (_STATE,)}
    facts = {**_RECURRENT, **heads(4, 2, 16)}
    facts["attention.head_count_kv"] = [2 if layer % 4 == 3 else 0 for layer in range(layers)]
    return write(path, "jamba", layers, lambda at: (attention(4, 2, 16) if at % 4 == 3 else mixer) | _DENSE, facts)


def make_all(folder: Path) -> dict[str, dict[str, Any]]:
    """By what is said of them: what a `Model` has."""
    folder.mkdir(parents=True, exist_ok=True)
    q4, base = gguf.GGMLQuantizationType.Q4_0, {"engine": "llama.cpp"}

    def at(name: str) -> Path:
        return folder / f"{name}.gguf"

    found: dict[str, dict[str, Any]] = {
        "wide": {"path": llama(at("wide"), 8, 1, 1, 512)},
        "deep": {"path": llama(at("deep"), 16, 4, 1, 64, context=32_768)},
        "wordy": {"path": llama(at("wordy"), 2, 4, 2, 64, words=100_000)},
        "rearranged": {"path": llama(at("rearranged"), 4, 64, 64, 256, words=50_000, kind=q4)},
        "sliding": {"path": sliding(at("sliding"))},
        "far sliding": {"path": sliding(at("far"), window=1024, layers=6)},
        "experts": {"path": experts(at("experts"))},
        "latent": {"path": latent(at("latent"))},
        "recurrent": {"path": recurrent(at("recurrent"))},
        "hybrid": {"path": hybrid(at("hybrid"))},
        "draft": {"path": llama(at("drafted"), 8, 4, 2, 128), "draft": llama(at("draft"), 2, 4, 2, 64)},
        "adapter": {"path": TINY, "lora": [(write_adapter(at("lora")), 1.0)]},
        "vectors": {"path": tiny_bert(at("vectors"), PoolingKind.MEAN)},
    }
    for name in ("gpt2", "gptj", "gptneox", "mpt"):
        old = {"path": write_legacy(name, "F16", folder / f"{name}.bin"), "engine": "ctransformers"}
        found[f"ctransformers {name}"] = old | {"architecture": name}
    return {name: {**base, **given} for name, given in found.items()}
