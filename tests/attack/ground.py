"""Where an attack takes place: the real parts, with their defaults."""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path
from typing import Any

from tests.attack.attacker import Target
from tests.attack.plan import Scene
from tests.stack import Process, Stack, children, scoring_hosts

_MODELS = {Scene.ECHO: "echo", Scene.SLOW: "echo", Scene.REAL: "smollm2", Scene.OPEN: "echo"}


_COMING = 20_000_000


class Ground(Stack):
    """A gateway of one process and its workers. What they log goes to a file."""

    valkey_options = ("--maxmemory", "512mb")
    """As that of `inferq up`."""

    def __init__(self, directory: Path, scene: Scene, **settings: Any) -> None:
        self.scene = scene
        self.model = _MODELS[scene]
        self.slow = "slow" if scene is Scene.SLOW else ""
        self.keys = {} if scene is Scene.OPEN else {who: secrets.token_hex(24) for who in ("victim", "mallory")}
        self.idle = 0
        """Bytes of its gateway before the first attack, once somebody has looked."""
        self._log = (directory / "log").open("ab")
        settings.setdefault("archive_bytes", 200_000_000)  # so that it is full within seconds
        if self.keys:
            settings["api_keys"] = ",".join(f"{name}:{key}" for name, key in self.keys.items())
        super().__init__(directory, **settings)

    def key(self, name: str) -> str:
        return self.keys.get(name, "")

    def target(self, seconds: float, least: int) -> Target:
        return Target(self.port, self.key("mallory"), self.model, self.slow, seconds, least=least)

    def start(self) -> None:
        """All of it."""
        self.start_gateway(processes=1)
        # The attackers take cores of this machine, as no others would: a thread that waits for one stalls its step.
        self.start_worker(self.model, **({"threads": 1} if self.scene is Scene.REAL else {}))
        if self.slow:
            file = self.directory / f"{self.slow}.gguf"
            file.write_bytes(b"echo reads no file")
            self.start_worker(str(file), "--engine", "echo", slots=1, echo_rate=2)

    def logged(self) -> str:
        """What the parts have logged."""
        return (self.directory / "log").read_text(errors="replace")

    def overfull(self) -> int:
        """Bytes of blobs beyond what all may store, and somebody stores at the moment; negative where there is room."""
        most = int(self.settings["archive_bytes"])
        files = (self.directory / "archive" / "blobs").rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file()) - most - _COMING

    def processes(self) -> dict[int, str]:
        """All that must live, by pid."""
        found = {}
        for child in self.children:
            name = "valkey" if child is self.valkey else "gateway" if child is self.gateway else "worker"
            found[child.pid] = name
            if child is not self.valkey:  # its children write its file anew, and end
                found |= dict.fromkeys(children(child) - scoring_hosts(child), f"child of {name}")
        return found

    def close(self) -> None:
        super().close()
        self._log.close()

    def _start(self, command: list[str], **options: Any) -> Process:
        return super()._start(command, **{"stdout": self._log, "stderr": subprocess.STDOUT, **options})
