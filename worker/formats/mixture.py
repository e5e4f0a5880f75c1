"""Which type each tensor of a quantised file gets: the rules of llama.cpp's llama-quantize, without importance matrix.

Source: `llama_tensor_get_type` in https://github.com/ggml-org/llama.cpp/blob/master/src/llama-quant.cpp
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from worker.formats.ggml import BLOCKS
from worker.formats.gguf_header import Header, Tensor

F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 = 1, 2, 3, 6, 7, 8
Q2_K, Q3_K, Q4_K, Q5_K, Q6_K = 10, 11, 12, 13, 14

TYPES = {
    "Q4_0": (2, Q4_0),
    "Q4_1": (3, Q4_1),
    "Q5_0": (8, Q5_0),
    "Q5_1": (9, Q5_1),
    "Q8_0": (7, Q8_0),
    "Q2_K": (10, Q2_K),
    "Q3_K_S": (11, Q3_K),
    "Q3_K_M": (12, Q3_K),
    "Q3_K_L": (13, Q3_K),
    "Q4_K_S": (14, Q4_K),
    "Q4_K_M": (15, Q4_K),
    "Q5_K_S": (16, Q5_K),
    "Q5_K_M": (17, Q5_K),
    "Q6_K": (18, Q6_K),
}
"""Name of a file's type -> (its number in `general.file_type`, the ggml type of most tensors)."""

_SMALLER_BLOCKS = {Q2_K: Q4_0, Q3_K: Q4_0, Q4_K: Q5_0, Q5_K: Q5_1, Q6_K: Q8_0}
"""For rows that are not whole blocks of 256."""
_KEPT = re.compile(
    r"_norm\.weight|ffn_gate_inp\.weight|ffn_gate_tid2eid\.weight|altup|laurel|per_layer_model_proj"
    r"|^position_embd\.weight$|^token_types\.weight$|ssm_conv1d|shortconv\.conv\.weight|indexer\.[kq]_proj\.weight"
    r"|time_mix_(first|w[012]|v[012]|a[012]|g[12]|decay_w[12]|lerp_fused)\.weight|attn_rel_b\.weight"
    r"|\.position_embd|sam\.pos_embd|sam\.neck\.|sam\.net_|\.rel_pos|\.patch_embd|\.patch_merger"
    r"|a\.rvq\.codebook|mm\.a\.code_embd"
)
"""Weights that are small, or that suffer much."""
_70B = {("deci", 80), ("jais2", 68), ("olmo", 80), ("qwen2", 80)}
"""Architectures and layers whose small value matrices are worth more bits; and Llama with grouped queries."""
_VALUES = ("attn_qkv.weight", "attn_kv_b.weight", "attn_v.weight")


def kinds(header: Header, tensors: Sequence[Tensor], name: str, *, pure: bool) -> list[int]:
    """The ggml type of each tensor in a file of the type `name`; with `pure`, no tensor gets a better one."""
    mixture = _Mixture(header, tensors, name)
    chosen = []
    for tensor in tensors:
        if not _is_quantised(tensor):
            chosen.append(tensor.kind)
            continue
        kind = mixture.default if pure else mixture.kind(tensor)
        columns = tensor.shape[0]
        if columns % BLOCKS[kind][0]:
            kind = _SMALLER_BLOCKS.get(kind, F16)
        chosen.append(F16 if columns % BLOCKS[kind][0] else kind)
    return chosen


def _is_quantised(tensor: Tensor) -> bool:
    matrix = any(size > 1 for size in tensor.shape[1:])
    return matrix and tensor.name.endswith("weight") and not _KEPT.search(tensor.name)


@dataclass
class _Mixture:
    """The tensors have to be asked for in the file's order: the first layers get more bits."""

    header: Header
    tensors: Sequence[Tensor]
    name: str
    attention_values: int = field(default=0, init=False)
    feed_forwards: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.default = TYPES[self.name][1]
        self.layers = self._number("block_count", 0)
        self.experts = self._number("expert_count", 0)
        self.falcon = self.header.architecture == "falcon"
        heads = self._number("attention.head_count", 1)
        self.sharing = heads // max(1, self._number("attention.head_count_kv", heads))
        size = self.header.architecture, self.layers
        self.is_70b = size in _70B or (size == ("llama", 80) and self.sharing > 1)
        self.tied = all(tensor.name != "output.weight" for tensor in self.tensors)
        self.values = sum(any(part in tensor.name for part in _VALUES) for tensor in self.tensors)

    def kind(self, tensor: Tensor) -> int:
        name = tensor.name
        embeddings = name in ("token_embd.weight", "per_layer_token_embd.weight")
        if name == "output.weight" or (self.tied and embeddings):
            bad_shape = tensor.shape[0] % BLOCKS[self.default][0] != 0
            return Q8_0 if self.falcon or bad_shape or self.default == Q8_0 else Q6_K
        if embeddings:
            return self.default
        if any(part in name for part in _VALUES):
            return self._attention_value()
        if "attn_k.weight" in name:
            return Q8_0 if self.experts == 8 else self.default
        if "ffn_down" in name:
            return self._feed_forward(name)
        if "attn_output.weight" in name:
            return self._attention_output()
        return self.default

    def _attention_value(self) -> int:
        kind, layer = self.default, self.attention_values
        self.attention_values += 1
        match self.name:
            case "Q2_K":
                kind = Q4_K if self.sharing >= 4 else Q3_K
            case "Q3_K_M":
                kind = Q5_K if layer < 2 else Q4_K
            case "Q3_K_L":
                kind = Q5_K
            case "Q4_K_M" | "Q5_K_M" if _needs_more_bits(layer, self.values):
                kind = Q6_K
            case "Q4_K_S" if layer < 4:
                kind = Q5_K
        if self.is_70b and kind in (Q3_K, Q4_K):
            kind = Q5_K
        return Q8_0 if self.experts == 8 else kind

    def _feed_forward(self, name: str) -> int:
        layer, layers = self.feed_forwards, self.layers
        self.feed_forwards += 1
        if self.experts > 1 and (found := re.match(r"blk\.(\d+)\.", name)):
            layer = int(found[1])
        more = _needs_more_bits(layer, layers)
        match self.name:
            case "Q2_K":
                return Q3_K
            case "Q3_K_M":
                return Q5_K if layer < layers // 16 else Q4_K if more or not self.falcon else Q3_K
            case "Q3_K_L":
                return Q4_K if self.falcon else Q5_K
            case "Q4_K_M" if self.falcon:
                return Q6_K if layer < layers // 16 else Q5_K if more else Q4_K
            case "Q4_K_M" | "Q5_K_M" if more:
                return Q6_K
            case "Q4_K_S" if layer < layers // 8 and not self.falcon:
                return Q5_K
            case _:
                return self.default

    def _attention_output(self) -> int:
        if self.falcon:
            return Q4_K if self.name == "Q3_K_L" else self.default
        if self.experts == 8:
            return Q5_K if self.name in ("Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M") else self.default
        return {"Q2_K": Q3_K, "Q3_K_M": Q4_K, "Q3_K_L": Q5_K}.get(self.name, self.default)

    def _number(self, key: str, default: int) -> int:
        value = self.header.metadata.get(f"{self.header.architecture}.{key}")
        return value if isinstance(value, int) else default


def _needs_more_bits(layer: int, layers: int) -> bool:
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2
