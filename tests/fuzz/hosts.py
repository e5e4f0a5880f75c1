"""Loading mutants that a reader has let pass, in real engine hosts, and asking each for a few tokens."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from shared.catalogue import Model
from shared.config import Config
from shared.errors import EngineError, InferqError
from shared.protocol import Completion, Sampling
from tests.answers import Running
from tests.fuzz.mutation import Seed
from worker import engines
from worker.engines.ctransformers import CtransformersEngine
from worker.engines.llama_cpp import LlamaCppEngine

_NATIVE = ("gpt2", "gptj", "gptneox", "mpt", "llama")
"""What ctransformers runs as it is."""


def loads(seed: Seed, path: Path) -> dict[str, tuple[str, int]]:
    """By engine: how it ended (`answered`, `refused in words`, or `host died`), and the host's most bytes of memory."""
    names = ["llama.cpp", *(["ctransformers"] if seed.reader in _NATIVE else [])]
    return {name: _load(name, seed, path) for name in names}


def _load(name: str, seed: Seed, path: Path) -> tuple[str, int]:
    architecture = "" if seed.reader == "gguf" else seed.reader
    model = Model("mutant", "", path, name, None, architecture=architecture)
    try:
        with contextlib.closing(engines.load(model, Config(slots=1, threads=1))) as engine:
            assert isinstance(engine, LlamaCppEngine | CtransformersEngine)
            sampling = Sampling(seed=1, max_tokens=4, temperature=0.0, ignore_eos=True)
            try:
                list(engine.run(Completion("mutant", ("def main(",), sampling), Running()))
            finally:
                peak = _peak(engine.host_pid)
            return "answered", peak
    except EngineError as exc:
        return ("host died" if re.search(r"killed by SIG", str(exc)) else "refused in words"), 0
    except InferqError:
        return "refused in words", 0


def _peak(pid: int | None) -> int:
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) * 1024 if found else 0
    return 0
