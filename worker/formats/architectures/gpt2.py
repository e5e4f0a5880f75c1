"""GPT-2, and StarCoder, whose legacy files are laid out alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from worker.formats.architectures.mapping import GGML, Architecture, Hyper, Weight, linear, split
from worker.formats.architectures.settings import Settings

_LEGACY, _CHECKPOINT = "model/h{}/", "transformer.h.{}."


def _legacy(numbers: Mapping[str, float], _: Mapping[str, tuple[int, ...]]) -> Hyper:
    n = {name: int(value) for name, value in numbers.items()}
    width, heads = n["n_embd"], n["n_head"]
    return Hyper(n["n_vocab"], n["n_ctx"], width, 4 * width, heads, n["n_layer"], heads, split(width, heads))


def _config(config: Settings) -> Hyper:
    config.only("activation_function", "gelu_new", "gelu_pytorch_tanh", default="gelu_new")
    config.only("scale_attn_by_inverse_layer_idx", False, default=False)
    config.only("scale_attn_weights", True, default=True)
    config.only("add_cross_attention", False, default=False)
    width, heads = config.whole("n_embd"), config.whole("n_head")
    return Hyper(
        config.whole("vocab_size"),
        config.whole("n_positions", "n_ctx"),
        width,
        config.whole("n_inner", default=4 * width),
        heads,
        config.whole("n_layer"),
        heads,
        split(width, heads),
        epsilon=config.number("layer_norm_epsilon", default=1e-5),
    )


def _norm(gguf: str, legacy: str, checkpoint: str) -> tuple[Weight, Weight]:
    return linear(gguf, ("width",), legacy, checkpoint, suffixes=("/g", "/b"))


def _conv(gguf: str, shape: tuple[str, str], legacy: str, checkpoint: str) -> tuple[Weight, Weight]:
    names = _LEGACY + legacy, _CHECKPOINT + checkpoint
    return linear(f"blk.{{}}.{gguf}", shape, *names, suffixes=("/w", "/b"), transposed=True)


ARCHITECTURE = Architecture(
    name="gpt2",
    gguf="gpt2",
    model_type="gpt2",
    layout=("n_vocab", "n_ctx", "n_embd", "n_head", "n_layer", "ftype", "n_vocab"),
    legacy_hyper=_legacy,
    config_hyper=_config,
    weights=(
        Weight("token_embd.weight", ("width", "vocabulary"), "model/wte", "transformer.wte.weight"),
        Weight("position_embd.weight", ("width", "context"), "model/wpe", "transformer.wpe.weight"),
        Weight("output.weight", ("width", "vocabulary"), "model/lm_head", "lm_head.weight", optional=True),
        *_norm("output_norm", "model/ln_f", "transformer.ln_f"),
        *_norm("blk.{}.attn_norm", _LEGACY + "ln_1", _CHECKPOINT + "ln_1"),
        *_norm("blk.{}.ffn_norm", _LEGACY + "ln_2", _CHECKPOINT + "ln_2"),
        *_conv("attn_qkv", ("width", "qkv"), "attn/c_attn", "attn.c_attn"),
        *_conv("attn_output", ("width", "width"), "attn/c_proj", "attn.c_proj"),
        *_conv("ffn_up", ("width", "inner"), "mlp/c_fc", "mlp.c_fc"),
        *_conv("ffn_down", ("inner", "width"), "mlp/c_proj", "mlp.c_proj"),
    ),
)

STARCODER = replace(
    ARCHITECTURE,
    name="starcoder",
    gguf="",
    model_type="",
    containers=frozenset((GGML,)),
    marks=frozenset((b"<fim_prefix>", b"<fim-prefix>")),
)
