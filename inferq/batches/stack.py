"""A gateway, a worker and a queue for one command alone: they begin and end with it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inferq.errors import StartError
from inferq.terminal import echo
from inferq.tools.terminal import show_status, status
from shared.config import PREFIX

if TYPE_CHECKING:
    from shared.catalogue import Model

SERVING = ("engine", "arch", "chat_format", "models_toml", "slots", "threads")
"""Flags for what is started; a gateway that runs has its own."""

_OTHERS = ("REDIS_URL", "ARCHIVE", "ARCHIVE_INDEX", "HOST", "PORT", "EXPECTED_MODELS", "LOG_FORMAT", "LOG_LEVEL")
"""Settings of what the user runs otherwise."""
_TOLD = 12
"""Lines of the log that are told where it fails."""
_PATIENCE = 60.0
"""Seconds for all of it to end; its parts have bounds of their own."""


@dataclass(frozen=True, slots=True)
class PrivateGateway:
    """Nobody else has its key."""

    url: str
    key: str
    check: Callable[[], None]
    """Raises StartError where it has ended."""


def words(flags: Mapping[str, Any]) -> dict[str, str]:
    """Those of `SERVING` that were given, as a command line has them."""
    return {
        "--" + name.removesuffix("_toml").replace("_", "-"): str(flags[name]) for name in SERVING if flags.get(name)
    }


def locate(name: str, flags: Mapping[str, Any]) -> Model:
    """The model of that name, by the flags of `SERVING`."""
    from shared import catalogue

    return catalogue.resolve(
        name,
        flags["engine"],
        architecture=flags["arch"],
        chat_format=flags["chat_format"],
        models_toml=flags["models_toml"] or "",
    )


def fetch(model: Model) -> None:
    """So that whoever waits sees how far it is. Raises PullError."""
    from inferq import pull
    from shared.progress import listen

    tell = show_status if sys.stderr.isatty() else partial(echo, err=True)
    with status(f"fetching {model.id}"), listen(lambda step: tell(f"{model.id}: {step}")):
        pull.provide(model)


@contextmanager
def private_gateway(folder: Path, model: str, flags: Mapping[str, Any]) -> Iterator[PrivateGateway]:
    """What serves the model while the block runs. What it is asked for lasts in the folder. Raises StartError."""
    given = [word for pair in words(flags).items() for word in pair]
    key, log_file = secrets.token_urlsafe(24), folder / "log"
    environ = {name: value for name, value in os.environ.items() if name.removeprefix(PREFIX) not in _OTHERS}
    # Batches that an earlier run began belong to that name.
    settings = {"API_KEYS": f"batch:{key}", "GATEWAY_PROCESSES": "1", "GRACE": "1"}
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "inferq", "up", "--parent", str(os.getpid())),
                *("--host", "127.0.0.1", "--port", "0", "--data-dir", str(folder), *given, "--", model),
            ],
            env=environ | {PREFIX + name: value for name, value in settings.items()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us, who then end it in order
        )

    def check() -> None:
        if process.poll() is not None:
            raise StartError(f"what serves {model} has ended: {_last_words(log_file)}")

    try:
        assert process.stdout is not None, "it is a pipe"
        with status(f"starting {model}"):
            line = process.stdout.readline().decode()
        if not line.startswith("ready: "):
            raise StartError(f"{model} cannot be served: {_last_words(log_file)}")
        yield PrivateGateway(line.split()[1], key, check)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()  # its children end with it
        process.wait()
    if process.stdout:
        process.stdout.close()


def _last_words(log_file: Path) -> str:
    lines = log_file.read_text(errors="replace").splitlines()[-_TOLD:]
    return "\n  ".join(["its log ends with", *lines]) if lines else "it ended without a word"
