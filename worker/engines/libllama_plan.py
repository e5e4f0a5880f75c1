"""What libllama would allocate for a model and a context, as it tells itself: nothing is allocated for that, and no
weights are read.

It tells that to llama.cpp's own tools by a function of C++, which returns a `std::map`. Where that is laid out
otherwise than by GNU's library of C++, the map looks empty.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import c_char_p, c_size_t, c_uint32, c_void_p
from typing import Any

from worker.engines.libllama_layout import UnknownLibrary

_BREAKDOWN = "_Z26llama_get_memory_breakdownPK13llama_context"
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "llama_free": (None, [c_void_p]),
    "ggml_backend_buft_name": (c_char_p, [c_void_p]),
    _BREAKDOWN: (c_void_p, [c_void_p, c_void_p]),
}
_MOST_KINDS = 16
"""Of buffers: on a CPU there are two or three."""
PLAIN_BUFFER = b"CPU"
"""What is in such a one is mapped from the file; in others it is a copy."""


class _Node(ctypes.Structure):
    """Of a red-black tree."""


_Node._fields_ = (
    ("color", c_uint32),
    ("parent", ctypes.POINTER(_Node)),
    ("left", ctypes.POINTER(_Node)),
    ("right", ctypes.POINTER(_Node)),
    ("buffer_type", c_void_p),
    ("model", c_size_t),
    ("context", c_size_t),
    ("compute", c_size_t),
)


class _Map(ctypes.Structure):
    _fields_ = (
        ("comparison", c_void_p),
        ("color", c_uint32),
        ("root", ctypes.POINTER(_Node)),
        ("leftmost", c_void_p),
        ("rightmost", c_void_p),
        ("count", c_size_t),
        ("beyond", c_size_t * 64),
    )


def find_plan(library: Any, context: int) -> dict[str, int]:
    """Bytes of `weights`, `copies` of them, `cells` and `compute` of a context that was made without allocating; it is
    freed. Raises UnknownLibrary."""
    for name, (result, arguments) in _FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise UnknownLibrary(f"it has no {name}") from None
        function.restype, function.argtypes = result, arguments
    told = _Map()
    getattr(library, _BREAKDOWN)(ctypes.byref(told), context)
    plan = {"weights": 0, "copies": 0, "cells": 0, "compute": 0}
    if not 0 < told.count <= _MOST_KINDS:
        raise UnknownLibrary("it tells of memory in another way")
    for node in _walk(told.root):
        plain = library.ggml_backend_buft_name(node.buffer_type) == PLAIN_BUFFER
        plan["weights" if plain else "copies"] += node.model
        plan["cells"] += node.context
        plan["compute"] += node.compute
    library.llama_free(context)
    return plan


def _walk(node: Any) -> Iterator[Any]:
    if node:
        yield from _walk(node.contents.left)
        yield node.contents
        yield from _walk(node.contents.right)
