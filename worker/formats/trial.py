"""How fast this machine computes with weights of one type and of another: measured, for nothing else tells it.

    python -m worker.formats.trial < QUESTION

It is a process of its own, which asks ggml, in the library of xllamacpp, for nothing but products of matrices of the
model's own sizes, at the places where llama.cpp would put them. Each core, up to some, has its share of the weights,
more than caches hold, and all compute at the same time, so that they share the memory as they will. What counts is the
time that a thread has had: what else the machine does makes it no longer, as far as memory has room for both.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import numpy as np

from shared.cores import usable
from shared.errors import ModelLoadError
from shared.lifeline import die_with_parent
from worker.formats.ggml import BLOCKS
from worker.formats.ggml_library import load_library, quantise_rows

TOKENS = (1, 8, 64)
"""How many a step has: of one answer, of eight at once, and of a prompt."""
_ROUNDS = (15, 9, 6)
"""The first of which only warms up."""
_BYTES = (128 << 20, 64 << 20, 16 << 20)
"""Of the wanted weights that a step reads in all: a whole step's, or of larger models a part of it."""
_LANES = 8
"""Cores that compute at once, at most: more of them tell nothing new."""
_ROWS, _WHOLE = 16384, 32
"""Of one matrix, at most, where it takes no more than _BYTES; of a part of one, a multiple."""
_SECONDS = 120.0
"""That is enough for the slowest machine."""
_F32 = 0
_GRAPH = 4096

Shape = tuple[int, int]
"""Columns and rows."""


def compare(shapes: Mapping[int, Sequence[Shape]], wanted: int, threads: int = 0) -> dict[int, list[float]]:
    """For each ggml type, of whose matrices the shapes are told: how many times as fast the type `wanted` is, for each
    of `TOKENS`.

    Each type has a process of its own, so that they take the memory one after the other: of weights and of copies up to
    five times `_BYTES`. Raises ModelLoadError where it cannot be measured.
    """
    lanes, found = min(threads or usable(), _LANES), dict[int, list[float]]()
    for kind, own in shapes.items():
        found |= _ask({"wanted": wanted, "shapes": {kind: own}, "lanes": lanes})
    return found


def _ask(question: Mapping[str, Any]) -> dict[int, list[float]]:
    try:
        told = subprocess.run(
            [sys.executable, "-P", "-m", "worker.formats.trial"],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
        return {int(kind): [float(x) for x in speeds] for kind, speeds in json.loads(told.stdout).items()}
    except (OSError, subprocess.SubprocessError, ValueError) as exc:
        raise ModelLoadError(f"how fast this machine is could not be measured: {type(exc).__name__}") from exc


def main() -> None:
    die_with_parent()
    asked = json.load(sys.stdin)
    wanted, lanes = int(asked["wanted"]), int(asked["lanes"])
    ggml = _Ggml()
    speeds = {}
    for kind, shapes in asked["shapes"].items():
        parts = [part for part in (shapes[i::lanes] for i in range(lanes)) if part]
        time_part = partial(_time, ggml, Barrier(len(parts)), kinds=(int(kind), wanted), lanes=len(parts))
        with ThreadPoolExecutor(len(parts)) as pool:
            times = list(pool.map(time_part, parts))
        totals = [[sum(lane[i][side] for lane in times) for side in (0, 1)] for i in range(len(TOKENS))]
        speeds[kind] = [before / after for before, after in totals]
    json.dump(speeds, sys.stdout)


def _time(
    ggml: _Ggml, barrier: Barrier, shapes: Sequence[Shape], kinds: Sequence[int], lanes: int
) -> list[list[float]]:
    """For each of `TOKENS`, the least seconds of a step with weights of each of the kinds, on one core."""
    try:
        return _time_in_turn(ggml, barrier, shapes, kinds, lanes)
    except BaseException:
        barrier.abort()  # nobody waits for a core that has no memory
        raise


def _time_in_turn(
    ggml: _Ggml, barrier: Barrier, shapes: Sequence[Shape], kinds: Sequence[int], lanes: int
) -> list[list[float]]:
    backend = ggml.backend()
    sides = [ggml.weights(backend, kind, _within(shapes, kinds[1], _BYTES[0] // lanes)) for kind in kinds]
    found = []
    for tokens, rounds, room in zip(TOKENS, _ROUNDS, _BYTES, strict=True):
        count = len(_within(shapes, kinds[1], room // lanes))
        graphs = [ggml.graph(side[:count], tokens) for side in sides]
        seen: list[list[float]] = [[] for _ in kinds]
        for _ in range(rounds):
            for graph, times in zip(graphs, seen, strict=True):
                barrier.wait(_SECONDS)
                begun = time.thread_time()
                ggml.compute(backend, graph)
                times.append(time.thread_time() - begun)
        found.append([min(times[1:]) for times in seen])
    return found


def _within(shapes: Iterable[Shape], kind: int, room: int) -> list[Shape]:
    """The first matrices that take no more bytes than there is room for, but one at least."""
    block, width = BLOCKS[kind]
    taken: list[Shape] = []
    for columns, rows in shapes:
        most = max(_WHOLE, _BYTES[0] // (columns // block * width) // _WHOLE * _WHOLE)
        rows = min(rows, _ROWS, most)
        room -= columns // block * width * rows
        if taken and room < 0:
            break
        taken.append((columns, rows))
    return taken


class _Init(ctypes.Structure):
    _fields_ = (("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool))


class _Ggml:
    """The part of ggml's C interface that is needed; raises AttributeError where the library lacks some of it."""

    def __init__(self) -> None:
        library: Any = load_library()
        pointer, number, size = ctypes.c_void_p, ctypes.c_int64, ctypes.c_size_t
        for name, result, arguments in (
            ("ggml_init", pointer, [_Init]),
            ("ggml_new_tensor_2d", pointer, [pointer, ctypes.c_int, number, number]),
            ("ggml_mul_mat", pointer, [pointer, pointer, pointer]),
            ("ggml_new_graph_custom", pointer, [pointer, size, ctypes.c_bool]),
            ("ggml_build_forward_expand", None, [pointer, pointer]),
            ("ggml_backend_cpu_init", pointer, []),
            ("ggml_backend_cpu_set_n_threads", None, [pointer, ctypes.c_int]),
            ("ggml_backend_cpu_buffer_type", pointer, []),
            ("ggml_backend_get_device", pointer, [pointer]),
            ("ggml_backend_dev_backend_reg", pointer, [pointer]),
            ("ggml_backend_reg_get_proc_address", pointer, [pointer, ctypes.c_char_p]),
            ("ggml_backend_dev_supports_op", ctypes.c_bool, [pointer, pointer]),
            ("ggml_backend_alloc_ctx_tensors_from_buft", pointer, [pointer, pointer]),
            ("ggml_backend_tensor_set", None, [pointer, pointer, size, size]),
            ("ggml_backend_graph_compute", ctypes.c_int, [pointer, pointer]),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        self._library = library
        self._random = np.random.default_rng(0)

    def backend(self) -> int:
        backend: int = self._library.ggml_backend_cpu_init()
        self._library.ggml_backend_cpu_set_n_threads(backend, 1)
        return backend

    def weights(self, backend: int, kind: int, shapes: Sequence[Shape]) -> list[tuple[int, int]]:
        """Matrices, each with its number of columns, in the buffers that llama.cpp would take for them."""
        made = []
        for columns, rows in shapes:
            matrix = self._matrix(kind, columns, rows, self._buffer(backend, kind, columns, rows))
            some = quantise_rows(self._random.standard_normal((min(rows, 32), columns)).astype(np.float32), kind)
            data = np.resize(some, (rows, some.shape[1]))
            self._library.ggml_backend_tensor_set(matrix, data.ctypes.data, 0, data.nbytes)
            made.append((matrix, columns))
        return made

    def graph(self, weights: Sequence[tuple[int, int]], tokens: int) -> int:
        """All of them by as many tokens."""
        library, context = self._library, self._context()
        inputs = {columns: library.ggml_new_tensor_2d(context, _F32, columns, tokens) for _, columns in weights}
        products = [library.ggml_mul_mat(context, matrix, inputs[columns]) for matrix, columns in weights]
        graph: int = library.ggml_new_graph_custom(context, _GRAPH, False)
        for product in products:
            library.ggml_build_forward_expand(graph, product)
        self._allocate(context, library.ggml_backend_cpu_buffer_type())
        for columns, tensor in inputs.items():
            data = self._random.standard_normal((tokens, columns)).astype(np.float32)
            library.ggml_backend_tensor_set(tensor, data.ctypes.data, 0, data.nbytes)
        return graph

    def compute(self, backend: int, graph: int) -> None:
        if status := self._library.ggml_backend_graph_compute(backend, graph):
            raise RuntimeError(f"ggml_backend_graph_compute returned {status}")

    def _buffer(self, backend: int, kind: int, columns: int, rows: int) -> int:
        """The type of the first further buffer that computes with such a matrix, as llama.cpp looks for it."""
        library = self._library
        device = library.ggml_backend_get_device(backend)
        registry = library.ggml_backend_dev_backend_reg(device)
        address = library.ggml_backend_reg_get_proc_address(registry, b"ggml_backend_dev_get_extra_bufts")
        listed = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)(address)(device) if address else []
        for buffer in listed:
            if not buffer:
                break
            matrix, context = self._matrix(kind, columns, rows, buffer), self._context()
            vector = library.ggml_new_tensor_2d(context, _F32, columns, 1)
            if library.ggml_backend_dev_supports_op(device, library.ggml_mul_mat(context, matrix, vector)):
                return int(buffer)
        return int(library.ggml_backend_cpu_buffer_type())

    def _matrix(self, kind: int, columns: int, rows: int, buffer: int) -> int:
        context = self._context()
        matrix: int = self._library.ggml_new_tensor_2d(context, kind, columns, rows)
        self._allocate(context, buffer)
        return matrix

    def _context(self) -> int:
        context: int = self._library.ggml_init(_Init(1 << 21, None, True))
        return context

    def _allocate(self, context: int, buffer: int) -> None:
        if not self._library.ggml_backend_alloc_ctx_tensors_from_buft(context, buffer):
            raise MemoryError


if __name__ == "__main__":
    main()
