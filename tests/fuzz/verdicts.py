"""Reading mutants, in a child: so that a crash, a hang or a huge allocation is seen by who started it.

The child gets the mutants' numbers on its stdin, one a line, and answers each with one line of JSON.
"""

from __future__ import annotations

import json
import random
import resource
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ModelFileError
from tests.fuzz.mutation import Seed, mutant, seeds
from worker.formats.description import describe

CHILD = ("-m", "tests.fuzz.verdicts")
LIMIT = 1 << 30
"""Bytes that reading one file may allocate."""
PATIENCE = 20.0
"""Seconds that reading one file may take."""


@dataclass(frozen=True)
class Verdict:
    number: int
    reader: str
    outcome: str
    """`read`, the words in which it was refused, or, of a fault, how the child ended."""
    faulty: bool = False


def drawn(number: int, sound: Sequence[Seed]) -> tuple[Seed, bytes]:
    """The mutant of that number, and what it was made of."""
    dice = random.Random(number)
    reader = dice.choice(sorted({seed.reader for seed in sound}))
    seed = dice.choice([seed for seed in sound if seed.reader == reader])
    return seed, mutant(seed, dice)


def verdicts(numbers: Sequence[int]) -> Iterator[Verdict]:
    """One a number. A child that a mutant has killed is replaced."""
    left = list(numbers)
    while left:
        with subprocess.Popen([sys.executable, *CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            yield from _conversation(child, left)


def _conversation(child: subprocess.Popen[bytes], left: list[int]) -> Iterator[Verdict]:
    assert child.stdin
    assert child.stdout
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while left:
            child.stdin.write(b"%d\n" % left[0])
            child.stdin.flush()
            line = child.stdout.readline() if selector.select(PATIENCE) else b""
            number = left.pop(0)
            if not line:
                child.kill()
                yield Verdict(number, "?", f"the reader hung, or ended with status {child.wait()}", faulty=True)
                return
            yield Verdict(**json.loads(line))
    child.stdin.close()


def _outcome(seed: Seed, path: Path, number: int) -> str:
    """Anything but ModelFileError that is raised is a fault, and ends the child."""
    try:
        # Every fifth without a word of what it is.
        describe(path, seed.reader if seed.reader != "gguf" and number % 5 else None)
    except ModelFileError as exc:
        return exc.message.replace(str(path), "FILE")
    return "read"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        sound, path = seeds(Path(folder)), Path(folder) / "mutant"
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT, resource.RLIM_INFINITY))
        for line in sys.stdin:
            number = int(line)
            seed, content = drawn(number, sound)
            path.write_bytes(content)
            answer = {"number": number, "reader": seed.reader, "outcome": _outcome(seed, path, number)}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
