"""How libllama's structures are laid out: each field's name, type and default, by which a library of another version is
known."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from ctypes import c_bool, c_float, c_int8, c_int32, c_size_t, c_uint32, c_void_p
from typing import Any

Layout = Sequence[tuple[str, Any, Any]]
"""Name, type and default of each field."""

MODEL: Layout = (
    ("devices", c_void_p, None),
    ("tensor_buft_overrides", c_void_p, None),
    ("n_gpu_layers", c_int32, -1),
    ("split_mode", c_int32, 1),
    ("load_mode", c_int32, -1),
    ("lazy_mode", c_int32, 1),
    ("main_gpu", c_int32, 0),
    ("tensor_split", c_void_p, None),
    ("progress_callback", c_void_p, None),
    ("progress_callback_user_data", c_void_p, None),
    ("kv_overrides", c_void_p, None),
    ("vocab_only", c_bool, False),
    ("check_tensors", c_bool, False),
    ("use_extra_bufts", c_bool, True),
    ("no_host", c_bool, False),
    ("no_alloc", c_bool, False),
    ("load_mtp", c_bool, False),
)
CONTEXT: Layout = (
    ("n_ctx", c_uint32, 512),
    ("n_batch", c_uint32, 2048),
    ("n_ubatch", c_uint32, 512),
    ("n_seq_max", c_uint32, 1),
    ("n_rs_seq", c_uint32, 0),
    ("n_outputs_max", c_uint32, 0),
    ("n_outputs_max_per_seq", c_uint32, 1),
    ("n_threads", c_int32, 4),
    ("n_threads_batch", c_int32, 4),
    ("ctx_type", c_int32, 0),
    ("rope_scaling_type", c_int32, -1),
    ("pooling_type", c_int32, -1),
    ("attention_type", c_int32, -1),
    ("flash_attn_type", c_int32, -1),
    ("rope_freq_base", c_float, 0.0),
    ("rope_freq_scale", c_float, 0.0),
    ("yarn_ext_factor", c_float, -1.0),
    ("yarn_attn_factor", c_float, -1.0),
    ("yarn_beta_fast", c_float, -1.0),
    ("yarn_beta_slow", c_float, -1.0),
    ("yarn_orig_ctx", c_uint32, 0),
    ("defrag_thold", c_float, -1.0),
    ("cb_eval", c_void_p, None),
    ("cb_eval_user_data", c_void_p, None),
    ("type_k", c_int32, 1),
    ("type_v", c_int32, 1),
    ("abort_callback", c_void_p, None),
    ("abort_callback_data", c_void_p, None),
    ("not_in_the_header", c_void_p, None),
    ("embeddings", c_bool, False),
    ("offload_kqv", c_bool, True),
    ("no_perf", c_bool, True),
    ("op_offload", c_bool, True),
    ("swa_full", c_bool, True),
    ("kv_unified", c_bool, False),
    ("samplers", c_void_p, None),
    ("n_samplers", c_size_t, 0),
    ("ctx_other", c_void_p, None),
)
_BEYOND = ("beyond", c_uint32 * 64)
"""Room behind a structure, should the library's be larger: it neither writes nor reads where nothing is."""


def _structure(name: str, layout: Layout) -> type[ctypes.Structure]:
    return type(name, (ctypes.Structure,), {"_fields_": [(field, kind) for field, kind, _ in layout] + [_BEYOND]})


ModelParams = _structure("ModelParams", MODEL)
ContextParams = _structure("ContextParams", CONTEXT)


class TokenBatch(ctypes.Structure):
    _fields_ = (
        ("n_tokens", c_int32),
        ("token", ctypes.POINTER(c_int32)),
        ("embd", ctypes.POINTER(c_float)),
        ("pos", ctypes.POINTER(c_int32)),
        ("n_seq_id", ctypes.POINTER(c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(c_int32))),
        ("logits", ctypes.POINTER(c_int8)),
        _BEYOND,
    )


class UnknownLibrary(Exception):
    """The library's interface is not the one that is laid out here."""


def compare(name: str, layout: Layout, given: Any) -> None:
    told: Mapping[str, Any] = {field: getattr(given, field) for field, _, _ in layout}
    if odd := [f"{field} is {told[field]!r}" for field, _, default in layout if told[field] != default]:
        raise UnknownLibrary(f"its {name} is another one: {', '.join(odd)}")
