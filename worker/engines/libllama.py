"""libllama's own C interface, as far as scoring and vectors need it: the library that xllamacpp brings exports it.

Nothing promises that its structures stay as they are. So they are laid out in `libllama_layout.py`, with the defaults
that the library gives their fields, and compared with it before anything is computed: a field that came, went or moved
moves others.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping, Sequence
from ctypes import c_bool, c_char_p, c_float, c_int32, c_size_t, c_uint32, c_void_p
from typing import Any

from worker.engines.libllama_layout import (
    CONTEXT,
    MODEL,
    ContextParams,
    ModelParams,
    TokenBatch,
    UnknownLibrary,
    compare,
)
from worker.engines.libllama_plan import find_plan
from worker.engines.libllama_pooling import PoolingContext
from worker.engines.libllama_timing import TimedContext

__all__ = [
    "ATTENTION_AUTO",
    "ATTENTION_FLASH",
    "ATTENTION_PLAIN",
    "F16",
    "F32",
    "Q8_0",
    "Context",
    "Library",
    "MappedModel",
    "UnknownLibrary",
]

_Log = ctypes.CFUNCTYPE(None, ctypes.c_int, c_char_p, c_void_p)
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "llama_backend_init": (None, []),
    "llama_log_set": (None, [_Log, c_void_p]),
    "llama_model_default_params": (ModelParams, []),
    "llama_context_default_params": (ContextParams, []),
    "llama_model_load_from_file": (c_void_p, [c_char_p, ModelParams]),
    "llama_model_get_vocab": (c_void_p, [c_void_p]),
    "llama_vocab_n_tokens": (c_int32, [c_void_p]),
    "llama_vocab_is_eog": (c_bool, [c_void_p, c_int32]),
    "llama_vocab_get_attr": (c_int32, [c_void_p, c_int32]),
    "llama_init_from_model": (c_void_p, [c_void_p, ContextParams]),
    "llama_adapter_lora_init": (c_void_p, [c_void_p, c_char_p]),
    "llama_set_adapters_lora": (c_int32, [c_void_p, ctypes.POINTER(c_void_p), c_size_t, ctypes.POINTER(c_float)]),
    "llama_model_n_swa": (c_int32, [c_void_p]),
    "llama_n_ctx": (c_uint32, [c_void_p]),
    "llama_n_batch": (c_uint32, [c_void_p]),
    "llama_n_ubatch": (c_uint32, [c_void_p]),
    "llama_n_seq_max": (c_uint32, [c_void_p]),
    "llama_n_threads": (c_int32, [c_void_p]),
    "llama_n_threads_batch": (c_int32, [c_void_p]),
    "llama_set_n_threads": (None, [c_void_p, c_int32, c_int32]),
    "llama_get_memory": (c_void_p, [c_void_p]),
    "llama_memory_seq_cp": (None, [c_void_p, c_int32, c_int32, c_int32, c_int32]),
    "llama_state_seq_get_size": (c_size_t, [c_void_p, c_int32]),
    "llama_state_seq_get_data": (c_size_t, [c_void_p, c_void_p, c_size_t, c_int32]),
    "llama_state_seq_set_data": (c_size_t, [c_void_p, c_void_p, c_size_t, c_int32]),
    "llama_memory_seq_rm": (c_bool, [c_void_p, c_int32, c_int32, c_int32]),
    "llama_batch_init": (TokenBatch, [c_int32, c_int32, c_int32]),
    "llama_decode": (c_int32, [c_void_p, TokenBatch]),
    "llama_get_logits_ith": (ctypes.POINTER(c_float), [c_void_p, c_int32]),
    "llama_get_embeddings_seq": (ctypes.POINTER(c_float), [c_void_p, c_int32]),
    "llama_memory_clear": (None, [c_void_p, c_bool]),
    "llama_model_n_embd_out": (c_int32, [c_void_p]),
    "llama_model_n_cls_out": (c_uint32, [c_void_p]),
    "llama_pooling_type": (c_int32, [c_void_p]),
    **{f"llama_vocab_{name}": (c_int32, [c_void_p]) for name in ("bos", "eos", "sep")},
    **{f"llama_vocab_get_add_{name}": (c_bool, [c_void_p]) for name in ("bos", "eos", "sep")},
    "llama_tokenize": (
        c_int32,
        [c_void_p, c_char_p, c_int32, ctypes.POINTER(c_int32), c_int32, c_bool, c_bool],
    ),
}
_ERROR = 4
_READ_BACK = ("n_batch", "n_ubatch", "n_seq_max", "n_threads", "n_threads_batch")
_NO_MMAP, _MMAP = 0, 1
_SILENT = 1 | 2 | 8
"""Attributes of tokens without a text: unknown, unused, control."""
F32, F16, Q8_0 = 0, 1, 8
"""Types of a context's cache."""
ATTENTION_AUTO, ATTENTION_PLAIN, ATTENTION_FLASH = -1, 0, 1
"""What is told as `flash_attn_type`: the library's own choice; in 32 bits; in parts, in the cache's type."""


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
        compare("llama_model_params", MODEL, self._model_params)
        compare("llama_context_params", CONTEXT, self._context_params)
        self._library.llama_log_set(_WRITE_ERROR, None)
        self._library.llama_backend_init()

    def load(self, path: str, *, repacked: bool = False) -> MappedModel:
        """Map a model's file into memory, whose pages are shared with whoever has mapped it too.

        Where it is `repacked`, it is computed faster, and weights of some types are copies. Raises RuntimeError.
        """
        self._model_params.load_mode, self._model_params.use_extra_bufts = _MMAP, repacked
        model = self._library.llama_model_load_from_file(path.encode(), self._model_params)
        if not model:
            raise RuntimeError("the model cannot be loaded")
        return MappedModel(self._library, model, self._context_params)

    def plan(self, path: str) -> MappedModel:
        """A model whose weights are not read, and for whose contexts nothing is allocated: see `MappedModel.find_plan`.
        Raises RuntimeError."""
        self._model_params.no_alloc = True
        self._model_params.load_mode, self._model_params.use_extra_bufts = _NO_MMAP, True
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
        made = self._make(lora, parameters)
        return Context(self._library, made, int(parameters["n_batch"]), self._vocabulary)

    def pooling_context(self, lora: Sequence[tuple[str, float]], **parameters: float) -> PoolingContext:
        """Raises RuntimeError, UnknownLibrary."""
        made = self._make(lora, {**parameters, "embeddings": True})
        return PoolingContext(self._library, self._model, made, int(parameters["n_batch"]), self._vocabulary)

    def timed_context(self, lora: Sequence[tuple[str, float]], **parameters: float) -> TimedContext:
        """Raises RuntimeError, UnknownLibrary."""
        return TimedContext(self._library, self._make(lora, parameters), int(parameters["n_batch"]))

    @property
    def window(self) -> int:
        """Tokens that layers look back on which do not on all; 0 where there are no such."""
        return int(self._library.llama_model_n_swa(self._model))

    def find_plan(self, **parameters: float) -> dict[str, int]:
        """What the library would allocate. Raises RuntimeError, UnknownLibrary."""
        return find_plan(self._library, self._make((), parameters))

    def _make(self, lora: Sequence[tuple[str, float]], parameters: Mapping[str, float]) -> int:
        for name, value in parameters.items():
            setattr(self._defaults, name, value)
        context: int | None = self._library.llama_init_from_model(self._model, self._defaults)
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
        return context


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


_WRITE_ERROR = _Log(_write_error)
"""It lives as long as the library, which calls it."""
