"""Llama, and what is built like it under its name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from worker.formats.architectures.mapping import Architecture, Hyper, Order, Weight, linear, split
from worker.formats.architectures.orders import neighbouring_keys, neighbours
from worker.formats.architectures.settings import Settings

if TYPE_CHECKING:
    from worker.formats.architectures.mapping import Floats

_CONTEXT = 2048
"""Of the first Llama; legacy files do not say."""
_LEGACY_EPSILON = 5e-6
"""Between 1e-6 of Llama and 1e-5 of Llama 2: legacy files do not say, and this is llama.cpp's own compromise."""


def _legacy(numbers: Mapping[str, float], shapes: Mapping[str, tuple[int, ...]]) -> Hyper:
    n = {name: int(value) for name, value in numbers.items()}
    width, heads = n["n_embd"], n["n_head"]
    head = split(width, heads)
    keys, inner = (shapes[f"layers.0.{name}.weight"][-1] for name in ("attention.wk", "feed_forward.w1"))
    kv_heads = split(keys, keys // head)
    return Hyper(
        n["n_vocab"],
        _CONTEXT,
        width,
        inner,
        heads,
        n["n_layer"],
        keys // kv_heads,
        head,
        n["n_rot"],
        epsilon=_LEGACY_EPSILON,
    )


def _config(config: Settings) -> Hyper:
    config.only("hidden_act", "silu", default="silu")
    width, heads = config.whole("hidden_size"), config.whole("num_attention_heads")
    head = config.whole("head_dim", default=width // max(1, heads))
    rope = config.part("rope_parameters", "rope_scaling")
    rope.only("partial_rotary_factor", 1.0, default=1.0)
    base = rope.number("rope_theta", default=config.number("rope_theta", default=10000.0))
    kind = rope.word("rope_type", "type", default="default")
    if kind not in ("default", "linear", "llama3"):
        rope.refuse("rope_type", kind, "only 'default', 'linear' or 'llama3' can be converted")
    return Hyper(
        config.whole("vocab_size"),
        config.whole("max_position_embeddings", default=_CONTEXT),
        width,
        config.whole("intermediate_size"),
        heads,
        config.whole("num_hidden_layers"),
        config.whole("num_key_value_heads", default=heads),
        head,
        head,
        rope_base=base,
        rope_linear=rope.number("factor") if kind == "linear" else None,
        rope_factors=_factors(rope, base, head) if kind == "llama3" else (),
        epsilon=config.number("rms_norm_eps", default=1e-6),
    )


def _factors(rope: Settings, base: float, head: int) -> tuple[float, ...]:
    """Llama 3.1's way to a longer context: long waves are stretched, short ones are kept, some lie between.

    https://github.com/huggingface/transformers/blob/main/src/transformers/modeling_rope_utils.py
    """
    factor, low, high = (rope.number(name) for name in ("factor", "low_freq_factor", "high_freq_factor"))
    trained = rope.whole("original_max_position_embeddings")
    if not (factor > 0 and 0 < low < high and trained > 0 and base > 0):
        rope.refuse("rope_type", "llama3", f"its factors {factor}, {low}, {high} cannot be")

    def stretched(wave: float) -> float:
        if wave < trained / high:
            return 1.0
        if wave > trained / low:
            return factor
        kept = (trained / wave - low) / (high - low)
        return 1 / ((1 - kept) / factor + kept)

    return tuple(stretched(2 * math.pi * base ** (2 * i / head)) for i in range(head // 2))


def _frequencies(hyper: Hyper) -> Floats:
    import numpy as np

    return np.array(hyper.rope_factors, np.float32)


def _part(
    gguf: str, shape: tuple[str, str], legacy: str, checkpoint: str, order: Order | None = None
) -> tuple[Weight, Weight]:
    """Only checkpoints may have biases."""
    ours, theirs = f"blk.{{}}.{gguf}", f"model.layers.{{}}.{checkpoint}"
    return (
        Weight(f"{ours}.weight", shape, f"layers.{{}}.{legacy}.weight", f"{theirs}.weight", checkpoint_order=order),
        Weight(f"{ours}.bias", shape[-1:], checkpoint=f"{theirs}.bias", checkpoint_order=order, optional=True),
    )


def _norm(gguf: str, legacy: str, checkpoint: str) -> Weight:
    return linear(gguf, ("width",), legacy, checkpoint)[0]


ARCHITECTURE = Architecture(
    name="llama",
    gguf="llama",
    model_type="llama",
    layout=("n_vocab", "n_embd", "n_mult", "n_head", "n_layer", "n_rot", "ftype"),
    containers=frozenset(("ggml", "ggmf", "ggjt")),
    rms=True,
    legacy_hyper=_legacy,
    config_hyper=_config,
    weights=(
        Weight("token_embd.weight", ("width", "vocabulary"), "tok_embeddings.weight", "model.embed_tokens.weight"),
        _norm("output_norm", "norm", "model.norm"),
        Weight("output.weight", ("width", "vocabulary"), "output.weight", "lm_head.weight", optional=True),
        Weight("rope_freqs.weight", ("frequencies",), made=_frequencies),
        _norm("blk.{}.attn_norm", "layers.{}.attention_norm", "model.layers.{}.input_layernorm"),
        *_part("attn_q", ("width", "queries"), "attention.wq", "self_attn.q_proj", neighbours),
        *_part("attn_k", ("width", "keys"), "attention.wk", "self_attn.k_proj", neighbouring_keys),
        *_part("attn_v", ("width", "keys"), "attention.wv", "self_attn.v_proj"),
        *_part("attn_output", ("queries", "width"), "attention.wo", "self_attn.o_proj"),
        _norm("blk.{}.ffn_norm", "layers.{}.ffn_norm", "model.layers.{}.post_attention_layernorm"),
        *_part("ffn_gate", ("width", "inner"), "feed_forward.w1", "mlp.gate_proj"),
        *_part("ffn_down", ("inner", "width"), "feed_forward.w2", "mlp.down_proj"),
        *_part("ffn_up", ("width", "inner"), "feed_forward.w3", "mlp.up_proj"),
    ),
)
