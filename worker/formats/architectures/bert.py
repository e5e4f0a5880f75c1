"""BERT, whose checkpoints embed texts."""

from __future__ import annotations

from worker.formats.architectures.mapping import Architecture, Hyper, Weight, linear, split
from worker.formats.architectures.settings import Settings

_LAYER = "bert.encoder.layer.{}."


def _config(config: Settings) -> Hyper:
    config.only("hidden_act", "gelu", "gelu_new", "gelu_pytorch_tanh", default="gelu")
    config.only("position_embedding_type", "absolute", default="absolute")
    config.only("is_decoder", False, default=False)
    config.only("add_cross_attention", False, default=False)
    width, heads = config.whole("hidden_size"), config.whole("num_attention_heads")
    return Hyper(
        config.whole("vocab_size"),
        config.whole("max_position_embeddings"),
        width,
        config.whole("intermediate_size"),
        heads,
        config.whole("num_hidden_layers"),
        heads,
        split(width, heads),
        epsilon=config.number("layer_norm_eps", default=1e-12),
        types=config.whole("type_vocab_size", default=2),
        causal=False,
    )


def _part(gguf: str, shape: tuple[str, ...], checkpoint: str) -> tuple[Weight, Weight]:
    return linear(f"blk.{{}}.{gguf}", shape, "", _LAYER + checkpoint)


ARCHITECTURE = Architecture(
    name="bert",
    gguf="bert",
    model_type="bert",
    config_hyper=_config,
    word_pieces=True,
    unused=("pooler.dense.weight", "pooler.dense.bias"),
    weights=(
        Weight("token_embd.weight", ("width", "vocabulary"), checkpoint="bert.embeddings.word_embeddings.weight"),
        Weight(
            "position_embd.weight",
            ("width", "context"),
            checkpoint="bert.embeddings.position_embeddings.weight",
            whole=True,
        ),
        Weight(
            "token_types.weight",
            ("width", "types"),
            checkpoint="bert.embeddings.token_type_embeddings.weight",
            whole=True,
        ),
        *linear("token_embd_norm", ("width",), "", "bert.embeddings.LayerNorm"),
        *_part("attn_q", ("width", "width"), "attention.self.query"),
        *_part("attn_k", ("width", "width"), "attention.self.key"),
        *_part("attn_v", ("width", "width"), "attention.self.value"),
        *_part("attn_output", ("width", "width"), "attention.output.dense"),
        *_part("attn_output_norm", ("width",), "attention.output.LayerNorm"),
        *_part("ffn_up", ("width", "inner"), "intermediate.dense"),
        *_part("ffn_down", ("inner", "width"), "output.dense"),
        *_part("layer_output_norm", ("width",), "output.LayerNorm"),
    ),
)
