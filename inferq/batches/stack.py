"""A gateway, a worker and a queue for one batch alone: they begin and end with it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from inferq.batches.client import BatchClient
from inferq.errors import StartError
from inferq.tools.terminal import status
from shared.config import PREFIX

_OTHERS = ("REDIS_URL", "ARCHIVE", "ARCHIVE_INDEX", "HOST", "PORT", "EXPECTED_MODELS", "LOG_FORMAT", "LOG_LEVEL")
"""Settings of what the user runs otherwise."""
_TOLD = 12
"""Lines of the log that are told where it fails."""
_PATIENCE = 60.0
"""Seconds for all of it to end; its parts have bounds of their own."""


@contextmanager
def private_stack(folder: Path, model: str, flags: Sequence[str]) -> Iterator[BatchClient]:
    """What serves the model while the block runs. What it is asked for lasts in the folder. Raises StartError."""
    key, log_file = secrets.token_urlsafe(24), folder / "log"
    environ = {name: value for name, value in os.environ.items() if name.removeprefix(PREFIX) not in _OTHERS}
    settings = {"API_KEYS": f"batch:{key}", "GATEWAY_PROCESSES": "1", "GRACE": "1"}
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-P", "-m", "inferq", "up", "--parent", str(os.getpid())),
                *("--host", "127.0.0.1", "--port", "0", "--data-dir", str(folder), *flags, "--", model),
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
        with closing(BatchClient(line.split()[1], key, check)) as client:
            yield client
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
