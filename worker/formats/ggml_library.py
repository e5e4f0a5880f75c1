"""ggml's own quantisers, as the library of xllamacpp exports them: so the bytes are llama.cpp's."""

from __future__ import annotations

import ctypes
import functools

import numpy as np
import numpy.typing as npt

from shared.errors import EngineError
from worker.formats.ggml import BLOCKS


def quantise_rows(rows: npt.NDArray[np.float32], kind: int) -> npt.NDArray[np.uint8]:
    """Rows of finite weights, in the ggml type `kind`. Shape [rows, columns] to [rows, bytes of a row].

    Columns are whole blocks of the type. Other threads run meanwhile.
    """
    count, columns = rows.shape
    block, width = BLOCKS[kind]
    packed = np.empty((count, columns // block * width), np.uint8)
    source = np.ascontiguousarray(rows, np.float32)
    load_library().ggml_quantize_chunk(kind, source.ctypes.data, packed.ctypes.data, 0, count, columns, None)
    return packed


@functools.cache
def load_library() -> ctypes.CDLL:
    """Raises EngineError."""
    try:
        import xllamacpp
    except ImportError as exc:
        raise EngineError(f"quantising needs the package xllamacpp: {exc}") from exc
    library = ctypes.CDLL(xllamacpp.xllamacpp.__file__)
    if not hasattr(library, "ggml_quantize_chunk"):
        raise EngineError(f"the library of xllamacpp {xllamacpp.__version__} does not export ggml's quantisers")
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    library.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, number, number, number, pointer]
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    return library
