"""The child in which vectors are made, of inputs of whoever asks: see `pooling_host.py`."""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from worker.engines.child import SOCKET, HostEnd
from worker.engines.llama_cpp_pooling_shape import PoolingShape
from worker.engines.pooling_host import MOST_SEQUENCES, PoolingHost
from worker.engines.pooling_lane import PoolingLane
from worker.formats.gguf import read_header
from worker.formats.word_pieces import WordPieces

_TRIED = 8
"""Tokens that are read at the start."""
_ENVIRONMENT = {
    # A thread that waits for others looks for them for some 20 us, then leaves its core to whoever answers: to sleep
    # each time makes a short text take three times as long, and to look on and on the others many times as long.
    "OMP_WAIT_POLICY": "active",
    "GOMP_SPINCOUNT": "2000",
    "OPENBLAS_NUM_THREADS": "1",
}


def main() -> None:
    os.environ.update(_ENVIRONMENT)
    child = HostEnd()
    parameters: dict[str, Any] = child.parameters
    print(f"loading {parameters['path']}", file=sys.stderr, flush=True)  # noqa: T201 - stderr is the host's log

    import numpy as np  # after `HostEnd`, which ties this process to the worker: imports take a while
    import xllamacpp.xllamacpp

    from worker.engines.libllama import ATTENTION_AUTO, ATTENTION_PLAIN, F16, F32, Library, UnknownLibrary

    child.confine()
    most, threads = parameters["context"], parameters["batch_threads"]
    shape = PoolingShape.of(parameters)
    kind = F32 if parameters["exact"] else F16
    options = {
        "n_ctx": shape.batch,
        "n_batch": shape.batch,
        "n_ubatch": shape.step,
        "n_outputs_max": shape.batch,
        "n_outputs_max_per_seq": shape.batch,
        "n_seq_max": MOST_SEQUENCES,
        "pooling_type": parameters["pooling"],
        "n_threads": threads,
        "n_threads_batch": threads,
        "rope_freq_base": parameters["rope_freq_base"],
        "rope_freq_scale": parameters["rope_freq_scale"],
        "type_k": kind,
        "type_v": kind,
        "flash_attn_type": ATTENTION_PLAIN if shape.plain else ATTENTION_AUTO,
        "kv_unified": True,
    }
    try:
        model = Library(xllamacpp.xllamacpp.__file__).load(parameters["path"], repacked=not parameters["exact"])
        context = model.pooling_context(parameters["lora"], **options)
        side_by_side = 1 if context.remembers else shape.lanes
        contexts = [context, *(model.pooling_context(parameters["lora"], **options) for _ in range(1, side_by_side))]
        header = read_header(path := Path(parameters["path"]))
        context.words = WordPieces(path, header) if header.tokenizer == "bert" else None
        tried = min(_TRIED, most)
        for each in contexts:
            begun = time.monotonic()
            if not np.isfinite(each.pool([[0] * tried], threads // side_by_side)).all():
                raise RuntimeError("what it computes are no numbers")
        seconds = (time.monotonic() - begun) * shape.batch / tried
    except UnknownLibrary as exc:
        sys.exit(f"this version of xllamacpp has another llama.cpp than is known here: {exc}")
    except RuntimeError as exc:
        sys.exit(f"llama.cpp makes no vectors with this model: {exc}")
    forms = {"normalised": not parameters["ranks"], "chances": parameters["chances"]}
    lanes = [PoolingLane(each, **forms) for each in contexts]
    host = PoolingHost(lanes, threads, most, context.tokenize, context.marks())
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(Path(parameters["directory"]) / SOCKET))
        server.listen()
        child.ready(seconds)
        host.serve(server)


if __name__ == "__main__":
    main()
