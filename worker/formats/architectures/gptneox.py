"""GPT-NeoX (Pythia, StableLM, RedPajama), and Dolly 2, which is one with its own words for turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from worker.formats.architectures.mapping import GGML, Architecture, Hyper, Weight, linear, split
from worker.formats.architectures.orders import grouped
from worker.formats.architectures.settings import Settings

_BLOCK = "gpt_neox.layers.{}."


def _legacy(numbers: Mapping[str, float], _: Mapping[str, tuple[int, ...]]) -> Hyper:
    n = {name: int(value) for name, value in numbers.items()}
    if n["par_res"] not in (0, 1):
        raise ValueError(f"par_res is {n['par_res']}, which is neither yes nor no")
    width, heads = n["n_embd"], n["n_head"]
    return Hyper(
        n["n_vocab"],
        n["n_ctx"],
        width,
        4 * width,
        heads,
        n["n_layer"],
        heads,
        split(width, heads),
        n["n_rot"],
        parallel=bool(n["par_res"]),
    )


def _config(config: Settings) -> Hyper:
    config.only("hidden_act", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", default="gelu")
    config.only("attention_bias", True, default=True)
    rope = config.part("rope_parameters")
    for source, name in ((rope, "rope_type"), (config.part("rope_scaling"), "type")):
        source.only(name, "default", default="default")
    width, heads = config.whole("hidden_size"), config.whole("num_attention_heads")
    head = split(width, heads)
    share = rope.number("partial_rotary_factor", default=config.number("rotary_pct", default=0.25))
    return Hyper(
        config.whole("vocab_size"),
        config.whole("max_position_embeddings"),
        width,
        config.whole("intermediate_size"),
        heads,
        config.whole("num_hidden_layers"),
        heads,
        head,
        rotary=int(head * share),
        rope_base=rope.number("rope_theta", default=config.number("rotary_emb_base", "rope_theta", default=10000.0)),
        epsilon=config.number("layer_norm_eps", default=1e-5),
        parallel=config.flag("use_parallel_residual", default=True),
    )


def _same(gguf: str, shape: tuple[str, ...], name: str) -> tuple[Weight, Weight]:
    return linear(f"blk.{{}}.{gguf}", shape, _BLOCK + name, _BLOCK + name)


_QKV = _BLOCK + "attention.query_key_value"
_EMBEDDING, _NORM, _OUTPUT = "gpt_neox.embed_in.weight", "gpt_neox.final_layer_norm", "embed_out.weight"

ARCHITECTURE = Architecture(
    name="gptneox",
    gguf="gptneox",
    model_type="gpt_neox",
    layout=("n_vocab", "n_ctx", "n_embd", "n_head", "n_layer", "n_rot", "par_res", "ftype"),
    legacy_hyper=_legacy,
    config_hyper=_config,
    weights=(
        Weight("token_embd.weight", ("width", "vocabulary"), _EMBEDDING, _EMBEDDING),
        *linear("output_norm", ("width",), _NORM, _NORM),
        Weight("output.weight", ("width", "vocabulary"), _OUTPUT, _OUTPUT),
        *_same("attn_norm", ("width",), "input_layernorm"),
        *linear("blk.{}.attn_qkv", ("width", "qkv"), _QKV, _QKV, legacy_order=grouped, checkpoint_order=grouped),
        *_same("attn_output", ("width", "width"), "attention.dense"),
        *_same("ffn_norm", ("width",), "post_attention_layernorm"),
        *_same("ffn_up", ("width", "inner"), "mlp.dense_h_to_4h"),
        *_same("ffn_down", ("inner", "width"), "mlp.dense_4h_to_h"),
    ),
)

DOLLY = replace(
    ARCHITECTURE,
    name="dolly-v2",
    gguf="",
    model_type="",
    containers=frozenset((GGML,)),
    marks=frozenset((b"### Response:",)),
)
