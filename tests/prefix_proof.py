"""`make prefixes`: many saves and restores at once, with snapshots cut, spoiled and deleted meanwhile if that is asked.

    python -m tests.prefix_proof [--restores N] [--seconds N] [--seed N] [--mischief]

Two engines of the tiny model, in float32, share a folder that is too small for all that is read. Every answer is
compared with that of an engine that keeps nothing: each token, and each log probability to 0.001.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from shared.config import Config
from tests.beside import Helper
from tests.likelihoods import write
from tests.prefixes import ask, draw, keeping, snapshots, told
from tests.tiny import roomy, tiny
from worker.engines.llama_cpp import LlamaCppEngine

Told = list[tuple[int, float | None]]
_BEGINNINGS, _LONGEST, _SLOTS = 12, 640, 3
_CLOSE = 0.001
_MISCHIEF = 2
"""Answers."""
_BYTES = 10_000_000
_PATIENCE = 300.0
"""Seconds in which there is an answer."""


@dataclass
class Proof:
    """`restores` snapshots are to be restored at least, by engines that share a folder, unless it is `until` before."""

    folder: Path
    restores: int
    seed: int
    until: float = math.inf
    """Monotonic."""
    answers: dict[tuple[int, ...], Told] = field(default_factory=dict)
    done: int = 0
    saved: int = 0
    restored: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def over(self) -> bool:
        return self.restored >= self.restores or bool(self.wrong) or time.monotonic() >= self.until

    def prompts(self) -> list[tuple[int, ...]]:
        """Some begin alike."""
        beginnings = [draw(_LONGEST, self.seed + number) for number in range(_BEGINNINGS)]
        cuts = random.Random(self.seed)
        return [
            (*beginning[: cuts.randint(300, _LONGEST)], *draw(cuts.randint(1, 40), number))
            for beginning in beginnings
            for number in range(3)
        ]

    def learn(self, model: Path) -> None:
        """The answers of an engine that keeps nothing and reads each prompt as a whole."""
        with closing(LlamaCppEngine(tiny(model), Config(slots=1, threads=1))) as engine:
            for prompt in self.prompts():
                self.answers[prompt] = told(engine, ask(prompt))

    def ask(self, engine: LlamaCppEngine, number: int) -> None:
        """Until it is over: a prompt after the other, of an owner of its own each, so that slots have to be emptied."""
        draws = random.Random(self.seed * 1000 + number)
        while not self.over:
            prompt = draws.choice(list(self.answers))
            try:
                found = told(engine, ask(prompt, owner=draws.choice(("alice", "bob"))))
            except Exception as exc:  # noqa: BLE001 - whatever it is, no answer may fail
                self.wrong.append(f"{len(prompt)} tokens: {exc!r}")
                return
            with self.lock:
                self.done += 1
                if not _alike(found, self.answers[prompt]):
                    self.wrong.append(f"{len(prompt)} tokens: {found} is not {self.answers[prompt]}")

    def spoil(self) -> None:
        """Until it is over: a snapshot is cut, spoiled or deleted, one for so many answers: by the clock none would
        live long enough where answers are slow."""
        draws, seen = random.Random(self.seed), 0
        while not self.over:
            time.sleep(0.01)
            if self.done < seen + _MISCHIEF:
                continue
            seen = self.done
            with suppress(OSError, IndexError, ValueError):
                path = draws.choice([*snapshots(self.folder), *self.folder.glob("*/*.part")])
                match draws.randrange(3):
                    case 0:
                        path.unlink()
                    case 1:
                        with path.open("r+b") as file:
                            file.truncate(draws.randrange(path.stat().st_size))
                    case _:
                        with path.open("r+b") as file:
                            file.seek(draws.randrange(path.stat().st_size))
                            file.write(draws.randbytes(8))

    def count(self, engine: LlamaCppEngine) -> None:
        """What this engine's llama.cpp saves and restores."""
        prefixes = engine._prefixes
        restore, save = prefixes._restore, prefixes._save

        def restoring(folder, reading, snapshot, most):  # type: ignore[no-untyped-def]  # as its own
            there = restore(folder, reading, snapshot, most)
            with self.lock:
                self.restored += reading.seat.known == most
            return there

        def saving(reading, promise):  # type: ignore[no-untyped-def]  # as its own
            save(reading, promise)
            with self.lock:
                self.saved += 1

        prefixes._restore, prefixes._save = restoring, saving  # type: ignore[method-assign]  # it goes with the engine


def _alike(one: Told, other: Told) -> bool:
    return len(one) == len(other) and all(
        a == b and abs((x or 0.0) - (y or 0.0)) < _CLOSE for (a, x), (b, y) in zip(one, other, strict=True)
    )


def prove(folder: Path, restores: int, seed: int, *, mischief: bool, seconds: float = math.inf) -> Proof:
    """What came of it; `folder` is an empty one."""
    model, kept = roomy(folder, write(folder)), folder / "prefixes"
    proof = Proof(kept, restores, seed)
    proof.learn(model)
    proof.until = time.monotonic() + seconds
    with ExitStack() as stack:
        engines = [stack.enter_context(keeping(kept, model, _SLOTS, prefix_bytes=_BYTES)) for _ in range(2)]
        for engine in engines:
            proof.count(engine)
        helpers = [
            Helper(proof.ask, engine, place * _SLOTS + number)
            for place, engine in enumerate(engines)
            for number in range(_SLOTS)
        ]
        helpers += [Helper(proof.spoil)] if mischief else []
        for helper in helpers:
            helper.finish(_PATIENCE, lambda: proof.done)
    return proof


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--restores", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=900.0, help="after which there are fewer")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--mischief", action="store_true", help="snapshots are cut, spoiled and deleted meanwhile")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        proof = prove(Path(folder), given.restores, given.seed, mischief=given.mischief, seconds=given.seconds)
    print(f"{proof.done} answers, {proof.saved} snapshots saved, {proof.restored} restored")
    print("\n".join(proof.wrong) or "no token and no log probability differs")
    return bool(proof.wrong)


if __name__ == "__main__":
    sys.exit(main())
