"""The clients, their versions and what drives each: clients.toml, read once."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
INSIDE = HERE / "inside"
"""What runs in the environments of the clients."""


@dataclass(frozen=True)
class Client:
    """One client. What is installed are `packages`, and what they need, no newer than `before`."""

    name: str
    packages: tuple[str, ...]
    script: str
    """In `inside/`; `.mjs` runs in Node.js, with packages of the npm registry, and `.py` in Python."""
    configure: str
    """What a user writes to use inferq with it, as Markdown."""
    before: str
    short: bool = False
    """Whether it belongs to the short form, which installs in seconds."""
    seconds: float = 600
    """How long all its checks may take."""
    overrides: tuple[str, ...] = ()
    """Requirements that replace those of the packages, such as of a CUDA build that no client needs."""
    measures: bool = False
    """Whether it is tried against a gateway that has the tiny model alone, in float32: one with known likelihoods."""
    settings: tuple[str, ...] = ()
    """`NAME=value` for the environment of the script."""

    @property
    def in_node(self) -> bool:
        return self.script.endswith(".mjs")

    @property
    def version(self) -> str:
        """Of what is tried, which is the first package."""
        return self.packages[0].rpartition("@" if self.in_node else "==")[2]


def read(path: Path = HERE / "clients.toml") -> dict[str, Client]:
    """Every client by its name, in the order of the file."""
    parsed = tomllib.loads(path.read_text("utf-8"))
    before = parsed.pop("before")
    return {name: _client(name, before, fields) for name, fields in parsed.items()}


def _client(name: str, before: str, fields: dict[str, object]) -> Client:
    lists = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    return Client(name=name, before=before, **lists)  # type: ignore[arg-type]  # the file is ours, and tests read all of it
