"""Model files, and how they are spoiled: at the places where files lie, and at random."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from pathlib import Path

from tests.fixtures.make_legacy import FOLDERS, GENUINE, write
from tests.tiny import TINY

_NUMBERS = (0, 1, 2, 31, 255, 256, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_LARGE = (1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


@dataclass(frozen=True)
class Seed:
    """A sound file."""

    reader: str
    """`gguf`, or the architecture of a legacy file."""
    content: bytes
    header: int
    """Bytes before the first tensor's data, or about that: where most of the harm can be done."""


def seeds(folder: Path) -> list[Seed]:
    """A GGUF file, and a legacy file of each architecture that can be written and of each that was found."""
    found = [Seed("gguf", TINY.read_bytes(), 24_000)]
    for architecture in FOLDERS:
        for kind in ("F16", "Q4_0"):
            path = write(architecture, kind, folder / f"{architecture}-{kind}.bin")
            found.append(Seed(architecture, path.read_bytes(), 12_000))
    for path in GENUINE:
        found.append(Seed(path.name.partition("-")[0].partition("_")[0], path.read_bytes(), 12_000))
    return found


def mutant(seed: Seed, dice: random.Random) -> bytes:
    """With some damage, most of it behind the magic number and the version."""
    content = bytearray(seed.content)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
        _damage(content, dice, seed.header)
    return bytes(content)


def _damage(content: bytearray, dice: random.Random, header: int) -> None:
    size = len(content)
    first = 0 if dice.random() < 0.02 else 8
    at = dice.randrange(first, max(first + 1, min(size, dice.choice((64, 200, header, header, size)))))
    match dice.randrange(14):
        case 0:
            content[at : at + 1] = bytes([dice.randrange(256)])
        case 1:
            content[at : at + 4] = struct.pack("<I", dice.choice(_NUMBERS))
        case 2:
            content[at : at + 8] = struct.pack("<Q", dice.choice(_NUMBERS + _LARGE))
        case 3:
            value = int.from_bytes(content[at : at + 4].ljust(4, b"\0"), "little") + dice.choice((-1, 1, 32, -32))
            content[at : at + 4] = struct.pack("<I", value & 0xFFFFFFFF)
        case 4:
            del content[at : at + dice.choice((1, 4, 8, 100))]
        case 5:
            content[at:at] = dice.randbytes(dice.choice((1, 4, 8, 100)))
        case 6:
            start = dice.randrange(size)
            piece = content[start : start + dice.choice((4, 16, 64, 400))]
            content[at : at + len(piece)] = piece
        case _:
            if dice.random() < 0.3:
                del content[dice.randrange(size) :]
            else:  # weights alone: the file stays sound
                at = dice.randrange(min(header * 2, size - 1), size)
                content[at : at + 2] = dice.randbytes(2)
