"""The child in which prompts are scored: it reads tokens with llama.cpp, and tells how likely each of them was.

A connection has one question, a line of JSON, and gets one answer: see `answer`. Several sequences of tokens may be
read in turns; who comes first is served first. It knows nothing of what it has told: only the state of each sequence.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.engines.child import SOCKET, HostEnd

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from worker.engines.libllama import Context

UNTOLD = -1
NICE = 5
"""Where others compute as well, they go first: scoring gets a third of what they get of a core."""
LEAST = -9999.0
"""What stands for a probability of 0, whose logarithm no JSON can hold."""
_BLOCK = 64
_TRIED = 8
"""Tokens that are read at the start. The first of them takes many times as long as each of a batch does: by that one
alone, a host that hangs would go unnoticed for minutes."""
_TRIAL = {
    "reading": 0,
    "sequence": 0,
    "begun": 0,
    "live": [],
    "past": 0,
    "top": 1,
    "threads": 1,
}
_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "passive",  # a thread that waits for others leaves its core to whoever answers
    "OPENBLAS_NUM_THREADS": "1",  # numpy multiplies nothing here
}


def main() -> None:
    os.environ.update(_ENVIRONMENT)
    child = HostEnd()
    parameters = child.parameters
    print(f"loading {parameters['path']}", file=sys.stderr, flush=True)  # noqa: T201 - stderr is the host's log

    import numpy  # noqa: F401 - after `HostEnd`, which ties this process to the worker: imports take a while
    import xllamacpp.xllamacpp

    from worker.engines.libllama import ATTENTION_AUTO, ATTENTION_PLAIN, F16, F32, Q8_0, Library, UnknownLibrary

    child.confine()
    os.nice(NICE)
    batch, threads = parameters["batch"], parameters["batch_threads"]
    kind = F32 if parameters["exact"] else Q8_0 if parameters["kv_cache"] else F16
    plain = parameters["exact"] or parameters["attention"] == "plain"
    try:
        model = Library(xllamacpp.xllamacpp.__file__).load(parameters["path"])
        context = model.context(
            parameters["lora"],
            n_ctx=parameters["context"],
            n_batch=batch,
            n_ubatch=batch,
            n_outputs_max=batch,
            n_outputs_max_per_seq=batch,
            n_seq_max=parameters["slots"],
            n_threads=threads,
            n_threads_batch=threads,
            rope_freq_base=parameters["rope_freq_base"],
            rope_freq_scale=parameters["rope_freq_scale"],
            type_k=kind,
            type_v=kind,
            flash_attn_type=ATTENTION_PLAIN if plain else ATTENTION_AUTO,
            kv_unified=True,
            swa_full=False,
        )
        readings = dict[int, int]()
        tried, begun = [0] * min(_TRIED, batch), time.monotonic()
        if answer(context, readings, {**_TRIAL, "tokens": tried, "targets": tried}) == b"\0":
            raise UnknownLibrary("what it computes are no numbers")
        step = (time.monotonic() - begun) * batch / len(tried)
    except UnknownLibrary as exc:
        sys.exit(f"this version of xllamacpp has another llama.cpp than scoring knows: {exc}")
    except RuntimeError as exc:
        sys.exit(f"llama.cpp cannot score with this model: {exc}")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(Path(parameters["directory"]) / SOCKET))
        server.listen()
        child.ready(step)
        while True:
            connection, _ = server.accept()
            try:
                with connection, connection.makefile("rb") as questions:
                    question = json.loads(questions.readline())
                    if not select.select([connection], [], [], 0)[0]:  # else it has been given up
                        connection.sendall(answer(context, readings, question))
            except (OSError, ValueError):
                continue  # whoever asked has gone


def answer(context: Context, readings: dict[int, int], question: dict[str, Any]) -> bytes:
    """How likely the target of each of the `tokens` is to come after it; the `sequence` has `past` others before them.

    A byte, 1 for success, and one after the other, for all the tokens: the log probabilities of their targets (64 bit
    floats), the targets' ranks (32 bit integers), the ids of the `top` likeliest tokens (32 bit integers) and their log
    probabilities (64 bit floats). Where the target is UNTOLD, its rank is whether the likeliest token says nothing.
    `readings` are whose tokens there are, by sequence. Those of the first `begun` that are not `live` are forgotten.
    """
    import numpy as np

    for sequence, reading in [*readings.items()]:
        if reading <= question["begun"] and reading not in question["live"]:
            context.forget(sequence)
            del readings[sequence]
    readings[question["sequence"]] = question["reading"]
    count, top = len(question["tokens"]), question["top"]
    logprobs, ranks = np.empty(count, np.float64), np.empty(count, np.int32)
    likeliest, theirs = np.empty((count, top), np.int32), np.empty((count, top), np.float64)
    try:
        rows = context.decode(question["tokens"], question["sequence"], question["past"], question["threads"])
    except RuntimeError as exc:
        print(exc, file=sys.stderr, flush=True)  # noqa: T201 - stderr is the host's log
        return b"\0"
    for i, (memory, target) in enumerate(zip(rows, question["targets"], strict=True)):
        row = np.frombuffer(memory, np.float32)
        highest = row.max()
        total = float(highest) + float(np.log(np.exp(row - highest).sum(dtype=np.float64)))
        if not np.isfinite(total):
            return b"\0"
        likeliest[i] = find_likeliest(row, top)
        theirs[i] = row[likeliest[i]].astype(np.float64) - total  # to the last bit what the target's is, if it is one
        if target == UNTOLD:
            logprobs[i], ranks[i] = 0.0, not context.says(int(likeliest[i, 0]))
        else:
            logprobs[i], ranks[i] = float(row[target]) - total, np.count_nonzero(row > row[target]) + 1
    told = (np.maximum(logprobs, LEAST), ranks, likeliest, np.maximum(theirs, LEAST))
    return b"\1" + b"".join(part.tobytes() for part in told)


def find_likeliest(row: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.intp]:
    """The places of the `count` highest of a row, in their order; of equal ones the first goes first.

    None of them is lower than the `count`-th of the highest in each block, which are few and soon found.
    """
    import numpy as np

    blocks = np.maximum.reduceat(row, np.arange(0, len(row), _BLOCK))
    least = np.partition(blocks, -count)[-count] if len(blocks) >= count else row.min()
    found = np.flatnonzero(row >= least)
    return found[np.lexsort((found, -row[found]))][:count]


if __name__ == "__main__":
    main()
