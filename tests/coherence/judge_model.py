"""The built-in model in plain numpy, out of its GGUF file: what it thinks of a whole text, in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

from tests.fixtures.forward import logits
from worker.engines.sampler import logprobs

_PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_WHOLE = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}


class JudgeModel:
    """A Llama with tied embeddings. The engine's own `score` computes a token at a time, which takes far longer."""

    def __init__(self, path: Path) -> None:
        reader = gguf.GGUFReader(path)

        def number(key: str) -> float:
            return float(reader.fields[f"llama.{key}"].contents())

        heads, kv_heads = int(number("attention.head_count")), int(number("attention.head_count_kv"))
        self._config = {
            "model_type": "llama",
            "num_attention_heads": heads,
            "num_key_value_heads": kv_heads,
            "head_dim": int(number("embedding_length")) // heads,
            "num_hidden_layers": int(number("block_count")),
            "rms_norm_eps": number("attention.layer_norm_rms_epsilon"),
            "rope_parameters": {"rope_type": "default", "rope_theta": number("rope.freq_base")},
            "tie_word_embeddings": True,
        }
        self._tensors = {}
        for tensor in reader.tensors:
            values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
            if tensor.name in _WHOLE:
                self._tensors[_WHOLE[tensor.name]] = values
                continue
            _, layer, part, _ = tensor.name.split(".")
            if part in ("attn_q", "attn_k"):  # llama.cpp has the halves of a head in turns
                turns = values.reshape(heads if part == "attn_q" else kv_heads, -1, 2, values.shape[-1])
                values = turns.swapaxes(1, 2).reshape(values.shape)
            self._tensors[f"model.layers.{layer}.{_PARTS[part]}.weight"] = values

    def score(self, before: Sequence[int], tokens: Sequence[int]) -> npt.NDArray[np.float64]:
        """Log probabilities (natural) of the tokens, after those before."""
        rows = logits(self._config, self._tensors, [*before, *tokens])[len(before) - 1 : -1].astype(np.float64)
        return np.array([logprobs(row)[token] for row, token in zip(rows, tokens, strict=True)])
