"""libllama's own C interface, as far as scoring needs it: the library that xllamacpp brings exports it.

Nothing promises that its structures stay as they are. So they are laid out here, with the defaults that the library
gives their fields, and compared with it before anything is computed: a field that came, went or moved moves others.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping, Sequence
from ctypes import c_bool, c_char_p, c_float, c_int8, c_int32, c_size_t, c_uint32, c_void_p
from typing import Any

_Layout = Sequence[tuple[str, Any, Any]]
"""Name, type and default of each field."""

_MODEL: _Layout = (
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
_CONTEXT: _Layout = (
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


def _structure(name: str, layout: _Layout) -> type[ctypes.Structure]:
    return type(name, (ctypes.Structure,), {"_fields_": [(field, kind) for field, kind, _ in layout] + [_BEYOND]})


_ModelParams = _structure("_ModelParams", _MODEL)
_ContextParams = _structure("_ContextParams", _CONTEXT)


class _TokenBatch(ctypes.Structure):
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


_Log = ctypes.CFUNCTYPE(None, ctypes.c_int, c_char_p, c_void_p)
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "llama_backend_init": (None, []),
    "llama_log_set": (None, [_Log, c_void_p]),
    "llama_model_default_params": (_ModelParams, []),
    "llama_context_default_params": (_ContextParams, []),
    "llama_model_load_from_file": (c_void_p, [c_char_p, _ModelParams]),
    "llama_model_get_vocab": (c_void_p, [c_void_p]),
    "llama_vocab_n_tokens": (c_int32, [c_void_p]),
    "llama_vocab_is_eog": (c_bool, [c_void_p, c_int32]),
    "llama_vocab_get_attr": (c_int32, [c_void_p, c_int32]),
    "llama_init_from_model": (c_void_p, [c_void_p, _ContextParams]),
    "llama_adapter_lora_init": (c_void_p, [c_void_p, c_char_p]),
    "llama_set_adapters_lora": (c_int32, [c_void_p, ctypes.POINTER(c_void_p), c_size_t, ctypes.POINTER(c_float)]),
    "llama_n_ctx": (c_uint32, [c_void_p]),
    "llama_n_batch": (c_uint32, [c_void_p]),
    "llama_n_ubatch": (c_uint32, [c_void_p]),
    "llama_n_seq_max": (c_uint32, [c_void_p]),
    "llama_n_threads": (c_int32, [c_void_p]),
    "llama_n_threads_batch": (c_int32, [c_void_p]),
    "llama_set_n_threads": (None, [c_void_p, c_int32, c_int32]),
    "llama_get_memory": (c_void_p, [c_void_p]),
    "llama_memory_seq_rm": (c_bool, [c_void_p, c_int32, c_int32, c_int32]),
    "llama_batch_init": (_TokenBatch, [c_int32, c_int32, c_int32]),
    "llama_decode": (c_int32, [c_void_p, _TokenBatch]),
    "llama_get_logits_ith": (ctypes.POINTER(c_float), [c_void_p, c_int32]),
}
_ERROR = 4
_READ_BACK = ("n_batch", "n_ubatch", "n_seq_max", "n_threads", "n_threads_batch")
_MMAP = 1
_SILENT = 1 | 2 | 8
"""Attributes of tokens without a text: unknown, unused, control."""
F32, F16 = 0, 1
"""Types of a context's cache."""
ATTENTION_AUTO, ATTENTION_PLAIN = -1, 0
"""What is told as `flash_attn_type`: that of the cache's type, or in 32 bits."""


class UnknownLibrary(Exception):
    """The library's interface is not the one that is laid out here."""


class Library:
    """Raises UnknownLibrary."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        for name, (result, arguments) in _FUNCTIONS.items():
            try:
                function = getattr(self._library, name)
            except AttributeError:
                raise UnknownLibrary(f"it has no {name}") from None
            function.restype, function.argtypes = result, arguments
        self._model_params = self._library.llama_model_default_params()
        self._context_params = self._library.llama_context_default_params()
        _compare("llama_model_params", _MODEL, self._model_params)
        _compare("llama_context_params", _CONTEXT, self._context_params)
        self._library.llama_log_set(_WRITE_ERROR, None)
        self._library.llama_backend_init()

    def load(self, path: str) -> MappedModel:
        """Map a model's file into memory, whose pages are shared with whoever has mapped it too.

        Nothing is repacked, for that would be a copy. Raises RuntimeError.
        """
        self._model_params.load_mode, self._model_params.use_extra_bufts = _MMAP, False
        model = self._library.llama_model_load_from_file(path.encode(), self._model_params)
        if not model:
            raise RuntimeError("the model cannot be loaded")
        return MappedModel(self._library, model, self._context_params)


class MappedModel:
    def __init__(self, library: Any, model: int, defaults: Any) -> None:
        self._library, self._model, self._defaults = library, model, defaults
        self._vocabulary = library.llama_model_get_vocab(model)

    def context(self, lora: Sequence[tuple[str, float]], **parameters: float) -> Context:
        """Raises RuntimeError, UnknownLibrary."""
        for name, value in parameters.items():
            setattr(self._defaults, name, value)
        context = self._library.llama_init_from_model(self._model, self._defaults)
        if not context:
            raise RuntimeError("its context cannot be made")
        told = {name: getattr(self._library, f"llama_{name}")(context) for name in _READ_BACK}
        if any(told[name] != parameters[name] for name in _READ_BACK):
            raise UnknownLibrary(f"its context is not as asked for: {told}")
        adapters = (c_void_p * len(lora))()
        for i, (path, _) in enumerate(lora):
            adapters[i] = self._library.llama_adapter_lora_init(self._model, path.encode())
            if not adapters[i]:
                raise RuntimeError(f"the LoRA adapter {path} cannot be loaded")
        scales = (c_float * len(lora))(*(scale for _, scale in lora))
        if lora and self._library.llama_set_adapters_lora(context, adapters, len(lora), scales):
            raise RuntimeError("the LoRA adapters cannot be applied")
        return Context(self._library, context, int(parameters["n_batch"]), self._vocabulary)


class Context:
    """Reads several sequences of tokens, a batch of one of them at a time."""

    def __init__(self, library: Any, context: int, batch: int, vocabulary: int) -> None:
        self._library, self._context, self._vocabulary = library, context, vocabulary
        self._size = library.llama_vocab_n_tokens(vocabulary)
        self._batch = library.llama_batch_init(batch, 0, 1)
        if self._batch.n_tokens or self._batch.embd or not (self._batch.token and self._batch.logits):
            raise UnknownLibrary("its llama_batch is another one")
        self._memory = library.llama_get_memory(context)

    def decode(self, tokens: Sequence[int], sequence: int, past: int, threads: int) -> list[Any]:
        """The logits after each token, as arrays that hold until the next call; the first `past` of the sequence's
        tokens have been read, and what it has after them is forgotten. Raises RuntimeError.
        """
        batch = self._batch
        self._library.llama_memory_seq_rm(self._memory, sequence, past, -1)
        self._library.llama_set_n_threads(self._context, threads, threads)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, past + i, 1, 1
            batch.seq_id[i][0] = sequence
        batch.n_tokens = len(tokens)
        if status := self._library.llama_decode(self._context, batch):
            raise RuntimeError(f"llama_decode returned {status}")
        rows = (self._library.llama_get_logits_ith(self._context, i) for i in range(len(tokens)))
        return [ctypes.cast(row, ctypes.POINTER(c_float * self._size)).contents for row in rows]

    def says(self, token: int) -> bool:
        """Whether it has a text in answers, and does not end them."""
        ends = self._library.llama_vocab_is_eog(self._vocabulary, token)
        return not ends and not self._library.llama_vocab_get_attr(self._vocabulary, token) & _SILENT

    def forget(self, sequence: int) -> None:
        """Free the cells of a sequence."""
        self._library.llama_memory_seq_rm(self._memory, sequence, 0, -1)


def _write_error(level: int, text: bytes, _: Any) -> None:
    """Into the host's log: the library says much, and all of it unless it is told where."""
    if level == _ERROR:
        sys.stderr.write(text.decode(errors="replace"))


def _compare(name: str, layout: _Layout, given: Any) -> None:
    told: Mapping[str, Any] = {field: getattr(given, field) for field, _, _ in layout}
    if odd := [f"{field} is {told[field]!r}" for field, _, default in layout if told[field] != default]:
        raise UnknownLibrary(f"its {name} is another one: {', '.join(odd)}")


_WRITE_ERROR = _Log(_write_error)
"""It lives as long as the library, which calls it."""
