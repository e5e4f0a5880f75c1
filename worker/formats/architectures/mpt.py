"""MPT, and Replit, whose legacy files name their tensors alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from worker.formats.architectures.mapping import GGML, Architecture, Hyper, Weight, linear, split
from worker.formats.architectures.settings import Settings

_BLOCK = "transformer.blocks.{}."


def _legacy(numbers: Mapping[str, float], _: Mapping[str, tuple[int, ...]]) -> Hyper:
    width, heads = int(numbers["n_embd"]), int(numbers["n_head"])
    return Hyper(
        int(numbers["n_vocab"]),
        int(numbers["n_ctx"]),
        width,
        4 * width,
        heads,
        int(numbers["n_layer"]),
        heads,
        split(width, heads),
        alibi=numbers.get("alibi_bias_max"),
        clip=numbers.get("clip_qkv") or None,
    )


def _config(config: Settings) -> Hyper:
    attention = config.part("attn_config")
    attention.only("attn_type", "multihead_attention", default="multihead_attention")
    attention.only("qk_ln", False, default=False)
    attention.only("prefix_lm", False, default=False)
    attention.only("softmax_scale", None, default=None)
    config.only("logit_scale", None, default=None)
    width, heads = config.whole("d_model", "hidden_size"), config.whole("n_heads")
    alibi = attention.flag("alibi", default=True)
    return Hyper(
        config.whole("vocab_size"),
        config.whole("max_seq_len"),
        width,
        config.whole("expansion_ratio", default=4) * width,
        heads,
        config.whole("n_layers"),
        heads,
        split(width, heads),
        epsilon=config.number("layer_norm_epsilon", default=1e-5),
        alibi=attention.number("alibi_bias_max", default=8.0) if alibi else 0.0,
        clip=attention.number("clip_qkv", default=0.0) or None,
    )


def _same(gguf: str, shape: tuple[str, ...], name: str) -> tuple[Weight, Weight]:
    """Only checkpoints may have biases."""
    weight, bias = linear(f"blk.{{}}.{gguf}", shape, _BLOCK + name, _BLOCK + name, optional_bias=True)
    return weight, replace(bias, legacy="")


_EMBEDDING, _POSITIONS, _NORM = "transformer.wte.weight", "transformer.wpe.weight", "transformer.norm_f"

ARCHITECTURE = Architecture(
    name="mpt",
    gguf="mpt",
    model_type="mpt",
    layout=("n_embd", "n_ctx", "n_head", "n_layer", "n_vocab", "alibi_bias_max", "clip_qkv", "ftype"),
    wide=True,
    legacy_hyper=_legacy,
    config_hyper=_config,
    weights=(
        Weight("token_embd.weight", ("width", "vocabulary"), _EMBEDDING, _EMBEDDING),
        Weight("position_embd.weight", ("width", "context"), checkpoint=_POSITIONS, optional=True),
        Weight("output_norm.weight", ("width",), _NORM + ".weight", _NORM + ".weight"),
        Weight("output_norm.bias", ("width",), checkpoint=_NORM + ".bias", optional=True),
        Weight("output.weight", ("width", "vocabulary"), checkpoint="lm_head.weight", optional=True),
        *_same("attn_norm", ("width",), "norm_1"),
        *_same("attn_qkv", ("width", "qkv"), "attn.Wqkv"),
        *_same("attn_output", ("width", "width"), "attn.out_proj"),
        *_same("ffn_norm", ("width",), "norm_2"),
        *_same("ffn_up", ("width", "inner"), "ffn.up_proj"),
        *_same("ffn_down", ("inner", "width"), "ffn.down_proj"),
    ),
)

REPLIT = replace(
    ARCHITECTURE,
    name="replit",
    gguf="",
    model_type="",
    layout=("n_embd", "n_ctx", "n_head", "n_layer", "n_vocab", "ftype"),
    containers=frozenset((GGML,)),
    scored=True,
    wide=False,
)
