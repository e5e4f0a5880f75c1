"""The child in which ctransformers computes: it evaluates tokens and sends back logits, and knows nothing else.

A question is a line of JSON, `{"tokens": [...], "past": n}`: evaluate the tokens after the first `n` of those before.
The answer is one byte, 1 for success, and then the logits of the last token as 32 bit floats.
"""

from __future__ import annotations

import ctypes
import json
import socket
import sys
import time
from pathlib import Path
from typing import Any

from worker.engines.child import SOCKET, HostEnd

BATCH = 8
"""Tokens of a step. Larger ones write beyond buffers of some architectures."""
_TYPES = {"gptneox": "gpt_neox"}
"""Where ctransformers has another name for an architecture."""

_FIXED_POOL = ("gpt2", "replit")
"""Architectures that measure the memory of a step at the first one: too little for a long past, unless that had one."""


def main() -> None:
    child = HostEnd()
    parameters = child.parameters
    print(f"loading {parameters['path']}", file=sys.stderr, flush=True)  # noqa: T201 - stderr is the host's log

    from ctransformers.llm import LLM, Config  # after `HostEnd`, which ties this process to the worker

    child.confine()
    architecture = parameters["architecture"]
    try:
        config = Config(context_length=parameters["context"] or -1, threads=parameters["threads"], batch_size=BATCH)
        model = LLM(parameters["path"], _TYPES.get(architecture, architecture), config=config, lib=library())
        if architecture in _FIXED_POOL:
            evaluate(model, parameters["threads"], [0], model.context_length // 4)
        evaluate(model, parameters["threads"], [0] * BATCH, 0)
        begun = time.monotonic()
        evaluate(model, parameters["threads"], [0] * BATCH, 0)
        step = time.monotonic() - begun
    except (RuntimeError, OSError) as exc:
        sys.exit(f"ctransformers could not load the model: {exc}")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(Path(parameters["directory"]) / SOCKET))
        server.listen()
        child.ready(step)
        while True:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as questions:
                try:
                    connection.sendall(json.dumps({"context": model.context_length}).encode() + b"\n")
                    for line in questions:
                        connection.sendall(evaluate(model, parameters["threads"], **json.loads(line)))
                except OSError:
                    continue  # whoever asked has gone


def library() -> str | None:
    """Which of its libraries fits the processor. To see that ctransformers runs programs, which a host may not."""
    if sys.platform != "linux":
        return None
    flags = set(Path("/proc/cpuinfo").read_text().split())
    return "avx2" if "avx2" in flags else "avx" if {"avx", "f16c"} <= flags else "basic"


def evaluate(model: Any, threads: int, tokens: list[int], past: int) -> bytes:
    """The answer to one question."""
    values = (ctypes.c_int * len(tokens))(*tokens)
    if not model.ctransformers_llm_batch_eval(values, len(tokens), past, BATCH, threads):
        return b"\0"
    size = model.ctransformers_llm_logits_size() * ctypes.sizeof(ctypes.c_float)
    return b"\1" + ctypes.string_at(model.ctransformers_llm_logits_data(), size)


if __name__ == "__main__":
    main()
