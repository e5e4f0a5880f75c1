"""Bloom."""

from __future__ import annotations

from collections.abc import Mapping

from worker.formats.architectures.mapping import Architecture, Hyper, Order, Weight, linear, split
from worker.formats.architectures.orders import grouped
from worker.formats.architectures.settings import Settings

_CONTEXT = 2048
"""What the published models were trained with; legacy files do not say."""
_ALIBI = 8.0


def _legacy(numbers: Mapping[str, float], _: Mapping[str, tuple[int, ...]]) -> Hyper:
    n = {name: int(value) for name, value in numbers.items()}
    return _hyper(n["n_vocab"], _CONTEXT, n["n_embd"], n["n_head"], n["n_layer"])


def _config(config: Settings) -> Hyper:
    config.only("apply_residual_connection_post_layernorm", False, default=False)
    return _hyper(
        config.whole("vocab_size"),
        config.whole("seq_length", default=_CONTEXT),
        config.whole("hidden_size", "n_embed"),
        config.whole("n_head", "num_attention_heads"),
        config.whole("n_layer", "num_hidden_layers"),
        config.number("layer_norm_epsilon", default=1e-5),
    )


def _hyper(vocabulary: int, context: int, width: int, heads: int, layers: int, epsilon: float = 1e-5) -> Hyper:
    head = split(width, heads)
    return Hyper(vocabulary, context, width, 4 * width, heads, layers, heads, head, epsilon=epsilon, alibi=_ALIBI)


def _part(
    gguf: str, shape: tuple[str, ...], legacy: str, checkpoint: str, order: Order | None = None
) -> tuple[Weight, Weight]:
    names = f"layers.{{}}.{legacy}", f"transformer.h.{{}}.{checkpoint}"
    return linear(f"blk.{{}}.{gguf}", shape, *names, checkpoint_order=order)


ARCHITECTURE = Architecture(
    name="bloom",
    gguf="bloom",
    model_type="bloom",
    pre="bloom",
    layout=("n_vocab", "n_embd", "n_mult", "n_head", "n_layer", "ftype"),
    legacy_hyper=_legacy,
    config_hyper=_config,
    weights=(
        Weight(
            "token_embd.weight",
            ("width", "vocabulary"),
            "tok_embeddings.weight",
            "transformer.word_embeddings.weight",
        ),
        *linear("token_embd_norm", ("width",), "norm", "transformer.word_embeddings_layernorm"),
        *linear("output_norm", ("width",), "output_norm", "transformer.ln_f"),
        Weight("output.weight", ("width", "vocabulary"), "output.weight", "lm_head.weight", optional=True),
        *_part("attn_norm", ("width",), "attention_norm", "input_layernorm"),
        *_part(
            "attn_qkv",
            ("width", "qkv"),
            "attention.query_key_value",
            "self_attention.query_key_value",
            grouped,
        ),
        *_part("attn_output", ("width", "width"), "attention.wo", "self_attention.dense"),
        *_part("ffn_norm", ("width",), "ffn_norm", "post_attention_layernorm"),
        *_part("ffn_up", ("width", "inner"), "feed_forward.w1", "mlp.dense_h_to_4h"),
        *_part("ffn_down", ("inner", "width"), "feed_forward.w2", "mlp.dense_4h_to_h"),
    ),
)
