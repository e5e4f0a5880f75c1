"""LoRA adapters of one base: a worker for each, against one llama.cpp that is told an adapter with each request.

    python -m bench.adapters [MODEL|FILE] [--adapters N] [--turns N] [--runs N]

The adapters are random, of rank 8, for the queries of every layer. Counted is how many tokens of conversations are read
again when those of several adapters take turns, where llama.cpp chooses the slots and where each conversation has its
own; how many tokens an answer of one adapter has before the first one of another's comes, which was asked for
meanwhile; and the memory that hosts have for themselves. The seconds are those of the conversations.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from bench.machine import describe
from inferq import pull
from inferq.weights import choose_weights
from shared import catalogue
from shared.catalogue import Model
from shared.config import Config
from tests.beside import Helper
from worker.engines.host import EngineHost
from worker.engines.llama_cpp_files import check_files, host_parameters
from worker.engines.llama_cpp_reading import STREAM
from worker.engines.llama_cpp_server import LlamaServer
from worker.formats.gguf import read_header

RANK = 8
SLOTS = 4
PROMPT, TURN, ANSWER, LONG = 400, 40, 8, 200
"""Tokens: of the beginning of a conversation, of each turn, of an answer, and of one that others wait for."""


@dataclass
class Side:
    """Where each adapter is computed, and what is said with a request for it."""

    servers: Sequence[LlamaServer]
    said: Sequence[dict[str, Any]]
    pids: Sequence[int]
    named: bool
    """Each conversation has a slot of its own."""


def main() -> None:
    parser = argparse.ArgumentParser(description="adapters of one base, in workers of their own or in one")
    parser.add_argument("model", nargs="?", default="smollm2")
    parser.add_argument("--adapters", type=int, default=3, help="how many [3]")
    parser.add_argument(
        "--turns", type=int, default=4, help="turns of each conversation, of which an adapter has one [4]"
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of each side, in turns [3]")
    given = parser.parse_args()
    base = choose_weights(pull.provide(catalogue.resolve(given.model)), Config())
    print(describe("inferq", "xllamacpp"))
    with tempfile.TemporaryDirectory() as folder:
        files = [_write(base, Path(folder) / f"{seed}.gguf", seed) for seed in range(given.adapters)]
        sides = {"one host, its own choice of slots": (files, False), "one host, named slots": (files, True)}
        print(
            f"{base.id}, {len(files)} adapters, {given.turns} turns, {given.runs} runs in turns, median (least to most)"
        )
        print("| side | tokens read again | before another's first token | seconds | memory of its own |")
        print("|---|---|---|---|---|")
        told: dict[str, list[tuple[int, int, float, int]]] = {}
        for _ in range(given.runs):
            for name, (served, named) in sides.items():
                with _together(base, served, named=named) as side:
                    told.setdefault(name, []).append(_measure(side, given.turns))
            with _apart(base, files) as side:
                told.setdefault("a host each", []).append(_measure(side, given.turns))
        for name, rows in told.items():
            again, before, seconds, memory = zip(*rows, strict=True)
            shown = f"{_spread(again)} | {_spread(before)} of {LONG} | {_spread(seconds, '.1f')}"
            print(f"| {name} | {shown} | {statistics.median(memory) / 1e6:.0f} MB |")


def _spread(values: Sequence[float], form: str = ".0f") -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def _measure(side: Side, turns: int) -> tuple[int, int, float, int]:
    begun = time.monotonic()
    again = _converse(side, turns)
    seconds = time.monotonic() - begun
    return again, _wait(side), seconds, sum(map(_private, side.pids))


def _converse(side: Side, turns: int) -> int:
    """One conversation of each adapter, whose turns alternate. How many known tokens are read again."""
    spoken = [_draw(PROMPT, seed) for seed in range(len(side.servers))]
    again = 0
    for turn in range(turns):
        for number, server in enumerate(side.servers):
            known = len(spoken[number]) if turn else 0
            prompt = [*spoken[number], *_draw(TURN, 100 + turn)] if turn else spoken[number]
            asked = server.at(number) if side.named else server
            chunks = list(asked.stream("/completion", _request(prompt, ANSWER) | side.said[number]))
            cached = max(chunk["prompt_progress"]["cache"] for chunk in chunks if chunk.get("prompt_progress"))
            again += max(0, known - cached - 1)  # the last one is always read
            answer = [token for chunk in chunks for token in chunk.get("tokens", ())]
            spoken[number] = [*prompt, *answer[:-1]]
    return again


def _wait(side: Side) -> int:
    """How many tokens the first adapter's answer has when the second one's begins."""
    written, came, began = 0, threading.Event(), threading.Event()
    seen = [LONG]

    def other() -> None:
        assert began.wait(600), "the first answer has not begun"
        server = side.servers[1].at(1) if side.named else side.servers[1]
        for chunk in server.stream("/completion", _request(_draw(20, 7), ANSWER) | side.said[1]):
            if chunk.get("tokens") and not came.is_set():
                seen[0] = written
                came.set()

    waiting = Helper(other)
    server = side.servers[0].at(0) if side.named else side.servers[0]
    for chunk in server.stream("/completion", _request(_draw(20, 8), LONG) | side.said[0]):
        written += len(chunk.get("tokens", ()))
        if written:
            began.set()
    waiting.finish(600)
    return min(seen[0], LONG)


def _request(prompt: Sequence[int], count: int) -> dict[str, Any]:
    return {
        **STREAM,
        "prompt": list(prompt),
        "n_predict": count,
        "ignore_eos": True,
        "temperature": 0.0,
        "cache_prompt": True,
    }


def _draw(count: int, seed: int) -> list[int]:
    return [int(token) for token in np.random.default_rng(seed).integers(1000, 20_000, size=count)]


@contextmanager
def _together(base: Model, files: Sequence[Path], *, named: bool) -> Iterator[Side]:
    with _host(replace(base, lora=tuple((file, 0.0) for file in files))) as (server, pid):
        said = [{"lora": [{"id": number, "scale": 1.0}]} for number in range(len(files))]
        yield Side([server] * len(files), said, [pid], named)


@contextmanager
def _apart(base: Model, files: Sequence[Path]) -> Iterator[Side]:
    with ExitStack() as stack:
        hosts = [stack.enter_context(_host(replace(base, lora=((file, 1.0),)))) for file in files]
        yield Side([server for server, _ in hosts], [{}] * len(files), [pid for _, pid in hosts], named=True)


@contextmanager
def _host(model: Model) -> Iterator[tuple[LlamaServer, int]]:
    config = Config(context=4096, slots=SLOTS)
    parameters = host_parameters(model, check_files(model), config, config.step, key := secrets.token_urlsafe())
    host = EngineHost("worker.engines.llama_cpp_host", model.id, parameters)
    try:
        assert host.pid is not None
        yield LlamaServer(host, key), host.pid
    finally:
        host.close()


def _private(pid: int) -> int:
    """Bytes that a process shares with no other."""
    rows = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return sum(int(row[1]) for row in rows if row[0].startswith("Private_")) * 1024


def _write(base: Model, path: Path, seed: int) -> Path:
    assert base.path is not None
    header, numbers = read_header(base.path), np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, header.architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(RANK))
    for tensor in header.tensors:
        if tensor.name.endswith("attn_q.weight"):
            columns, rows = tensor.shape
            writer.add_tensor(f"{tensor.name}.lora_a", numbers.normal(scale=0.05, size=(RANK, columns)).astype("<f4"))
            writer.add_tensor(f"{tensor.name}.lora_b", numbers.normal(scale=0.05, size=(rows, RANK)).astype("<f4"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


if __name__ == "__main__":
    main()
