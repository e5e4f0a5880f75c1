"""Falcon; its legacy files are read, not repacked."""

from __future__ import annotations

from collections.abc import Mapping

from worker.formats.architectures.mapping import Architecture, Hyper, Weight, linear, split

_BLOCK = "transformer.h.{}."
_SMALL, _LARGE = 7, 40
"""Falcon 7B has one norm a block, 40B two."""


def _legacy(numbers: Mapping[str, float], shapes: Mapping[str, tuple[int, ...]]) -> Hyper:
    n = {name: int(value) for name, value in numbers.items()}
    norms = {_SMALL: ("input_layernorm",), _LARGE: ("ln_mlp", "ln_attn")}.get(n["falcon_type"])
    if norms is None:
        raise ValueError(f"the kind of Falcon is {n['falcon_type']}; it can be {_SMALL} or {_LARGE}")
    for name in (f"transformer.h.{i}.{norm}.{part}" for i in range(n["n_layer"]) for norm in norms for part in _PARTS):
        if name not in shapes:
            raise KeyError(name)
    width, heads = n["n_embd"], n["n_head"]
    return Hyper(n["n_vocab"], 2048, width, 4 * width, heads, n["n_layer"], n["n_head_kv"], split(width, heads))


def _norm(gguf: str, name: str) -> tuple[Weight, ...]:
    return tuple(
        Weight(f"blk.{{}}.{gguf}.{part}", ("width",), f"{_BLOCK}{name}.{part}", optional=True) for part in _PARTS
    )


_PARTS = ("weight", "bias")

ARCHITECTURE = Architecture(
    name="falcon",
    layout=("n_vocab", "n_embd", "n_head", "n_head_kv", "n_layer", "falcon_type", "ftype"),
    containers=frozenset(("ggml", "ggmf", "ggjt", "ggcc")),
    legacy_hyper=_legacy,
    weights=(
        Weight("token_embd.weight", ("width", "vocabulary"), "transformer.word_embeddings.weight"),
        *linear("output_norm", ("width",), "transformer.ln_f"),
        Weight("output.weight", ("width", "vocabulary"), "lm_head.weight"),
        *_norm("attn_norm", "input_layernorm"),
        *_norm("attn_norm", "ln_mlp"),
        *_norm("attn_norm_2", "ln_attn"),
        Weight("blk.{}.attn_qkv.weight", ("width", "qkv"), _BLOCK + "self_attention.query_key_value.weight"),
        Weight("blk.{}.attn_output.weight", ("width", "width"), _BLOCK + "self_attention.dense.weight"),
        Weight("blk.{}.ffn_up.weight", ("width", "inner"), _BLOCK + "mlp.dense_h_to_4h.weight"),
        Weight("blk.{}.ffn_down.weight", ("inner", "width"), _BLOCK + "mlp.dense_4h_to_h.weight"),
    ),
)
