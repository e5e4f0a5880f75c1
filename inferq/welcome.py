"""What `inferq up` tells on stderr: what it waits for, and how to begin once it is ready."""

from __future__ import annotations

import logging
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.first_call import KEY_VARIABLE, FirstCall
from inferq.terminal import echo
from shared import folders
from shared.card import Card
from shared.config import PREFIX, Config
from shared.registry import Worker

log = logging.getLogger("inferq.supervisor")

_SILENCE = 8.0
"""Seconds after which it is told again what is waited for, so that nobody has to ask whether anything goes on."""


class Waiting:
    """Tells why models are not ready: a failure when it happens, and all else where nothing else is heard."""

    def __init__(self, models: Sequence[str]) -> None:
        self._models = models
        self._told: Mapping[str, str] = {}
        self._since = time.monotonic()

    def look(self, workers: Sequence[Worker] | None) -> None:
        """To be called often, with the workers that there are; None: Redis does not answer."""
        reasons = self._reasons(workers)
        changed = {model for model, reason in reasons.items() if self._told.get(model) != reason}
        for model in changed & {worker.model for worker in workers or () if worker.detail}:
            log.warning("not ready yet: %s: %s", model, reasons[model])
            self._since = time.monotonic()
        if any(_head(reasons[model]) == _head(self._told.get(model, "")) for model in changed):
            self._since = time.monotonic()  # its worker has said how far it is
        if time.monotonic() - self._since > _SILENCE:
            for model, reason in reasons.items():
                log.info("not ready yet: %s: %s", model, reason)
            self._since = time.monotonic()
        self._told = reasons

    def _reasons(self, workers: Sequence[Worker] | None) -> dict[str, str]:
        if workers is None:
            return {"redis": "it does not answer"}
        ready = {worker.model for worker in workers if worker.card}
        reasons = {model: "its worker is starting" for model in self._models if model not in ready}
        reasons |= {worker.model: worker.trouble for worker in workers if not worker.card and worker.trouble}
        return reasons or {"gateway": "it is starting"}


def tell_how_to_begin(address: str, cards: Sequence[Card], config: Config, folder: Path) -> None:
    """The models, the base URL and a first call that can be pasted. Where the log is for programs, one of its lines.

    `folder` is the data directory.
    """
    base = f"{address}/v1"
    call = FirstCall.of(base, cards, keyed=bool(config.api_keys))
    names = [name for card in cards for name in (card.id, *card.aliases)]
    if config.log_format == "json":
        log.info("ready", extra={"base_url": base, "models": names})
        return
    key = f"one of {PREFIX}API_KEYS; the line below takes it from {KEY_VARIABLE}" if call.keyed else "any text"
    where = "" if folder == folders.data() else f" --data-dir {shlex.quote(str(folder))}"
    echo(
        f"\n  models    {', '.join(names)}\n  base URL  {base}\n  API key   {key}\n\n  {call.curl}\n\n"
        f"  In a browser {address} is a chat, and {address}/overview shows what goes on;\n"
        f"  so does `{_program()} status{where}`. Ctrl-C ends all of it.\n",
        err=True,
    )


def _head(reason: str) -> str:
    """A reason without how far it is."""
    return reason.partition(": ")[0]


def _program() -> str:
    """What to type for `inferq`: it need not be on the path, as in an environment that nobody has activated."""
    called = Path(sys.argv[0])
    return "inferq" if called.name != "inferq" or shutil.which("inferq") else str(called)
