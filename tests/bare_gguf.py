"""GGUF files that say something, and hold next to nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np


def make(path: Path, architecture: str = "llama", *, tensors: tuple[str, ...] = ("blk.0.w",), **pairs: Any) -> Path:
    """A GGUF file; in the keys `__` stands for a dot."""
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in pairs.items():
        name = key.replace("__", ".")
        if isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, list):
            writer.add_array(name, value)
        else:
            writer.add_uint32(name, value)
    for name in tensors:
        writer.add_tensor(name, np.zeros((2, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
