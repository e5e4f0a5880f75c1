"""GPT-J. llama.cpp has no graph of its own for it, but phi2's is the same once the rotated rows are in halves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from worker.formats.architectures.mapping import Architecture, Hyper, Weight, linear, split
from worker.formats.architectures.orders import halves
from worker.formats.architectures.settings import Settings

if TYPE_CHECKING:
    from worker.formats.architectures.mapping import Floats

_BLOCK = "transformer.h.{}."


def _legacy(numbers: Mapping[str, float], _: Mapping[str, tuple[int, ...]]) -> Hyper:
    n = {name: int(value) for name, value in numbers.items()}
    return _hyper(n["n_vocab"], n["n_ctx"], n["n_embd"], 4 * n["n_embd"], n["n_head"], n["n_layer"], n["n_rot"])


def _config(config: Settings) -> Hyper:
    config.only("activation_function", "gelu_new", "gelu_pytorch_tanh", default="gelu_new")
    width, heads = config.whole("n_embd"), config.whole("n_head")
    return _hyper(
        config.whole("vocab_size"),
        config.whole("n_positions"),
        width,
        config.whole("n_inner", default=4 * width),
        heads,
        config.whole("n_layer"),
        config.whole("rotary_dim", default=split(width, heads)),
        config.number("layer_norm_epsilon", default=1e-5),
    )


def _hyper(
    vocabulary: int, context: int, width: int, inner: int, heads: int, layers: int, rotary: int, epsilon: float = 1e-5
) -> Hyper:
    head = split(width, heads)
    return Hyper(vocabulary, context, width, inner, heads, layers, heads, head, rotary, epsilon=epsilon)


def _zeros(hyper: Hyper) -> Floats:
    import numpy as np

    return np.zeros(hyper.width, np.float32)


def _same(gguf: str, shape: tuple[str, ...], name: str) -> tuple[Weight, Weight]:
    return linear(gguf, shape, name, name)


def _unbiased(part: str, name: str, *, rotated: bool = False) -> tuple[Weight, Weight]:
    theirs, order = f"{_BLOCK}attn.{name}.weight", halves if rotated else None
    return (
        Weight(f"blk.{{}}.{part}.weight", ("width", "width"), theirs, theirs, order, order),
        Weight(f"blk.{{}}.{part}.bias", ("width",), made=_zeros),
    )


ARCHITECTURE = Architecture(
    name="gptj",
    gguf="phi2",
    model_type="gptj",
    layout=("n_vocab", "n_ctx", "n_embd", "n_head", "n_layer", "n_rot", "ftype", "n_vocab"),
    legacy_hyper=_legacy,
    config_hyper=_config,
    weights=(
        Weight("token_embd.weight", ("width", "vocabulary"), "transformer.wte.weight", "transformer.wte.weight"),
        *_same("output_norm", ("width",), "transformer.ln_f"),
        *_same("output", ("width", "vocabulary"), "lm_head"),
        *_same("blk.{}.attn_norm", ("width",), f"{_BLOCK}ln_1"),
        *_unbiased("attn_q", "q_proj", rotated=True),
        *_unbiased("attn_k", "k_proj", rotated=True),
        *_unbiased("attn_v", "v_proj"),
        *_unbiased("attn_output", "out_proj"),
        *_same("blk.{}.ffn_up", ("width", "inner"), f"{_BLOCK}mlp.fc_in"),
        *_same("blk.{}.ffn_down", ("inner", "width"), f"{_BLOCK}mlp.fc_out"),
    ),
)
