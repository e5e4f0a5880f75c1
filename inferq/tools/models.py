"""How the tools find a model: by its name, its path or its source, and fetch it where it is not here."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shared.catalogue import Model


def find_model(name: str, *own: Any, models_toml: str = "", **more: Any) -> Model:
    """As `catalogue.resolve`, whose arguments these are, with its file on this machine.

    What is fetched is told on stderr. Raises what `resolve` and `pull.provide` do.
    """
    from inferq import pull
    from shared import catalogue

    model = catalogue.resolve(name, *own, models_toml=models_toml, **more)
    with _told("inferq.pull"):
        return pull.provide(model)


def find_source(text: str, *, checkpoint: bool = False) -> Path:
    """The file of a model, by its path, name or source; with `checkpoint` also the folder of one, which is fetched from
    the hub where it has no GGUF file. Raises what `find_model` does.
    """
    from inferq import hub
    from shared.catalogue import HubFile, is_source
    from shared.config import Config
    from shared.errors import InvalidRequest

    if (path := Path(text)).is_file() or (checkpoint and path.is_dir()):
        return path
    if checkpoint and is_source(text) and not HubFile.read(text).file:
        with _told("inferq.pull"):
            return hub.download_checkpoint(HubFile.read(text))
    model = find_model(text, models_toml=Config.from_env().models)
    if model.path is None:
        raise InvalidRequest(f"{text} has no file")
    return model.path


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    """What this log says, as lines on stderr, for commands that keep none."""
    from inferq.terminal import echo

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            echo(record.getMessage(), err=True)

    log, lines = logging.getLogger(name), Lines()
    if log.isEnabledFor(logging.INFO):
        yield
        return
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(lines)
        log.setLevel(logging.NOTSET)
        log.propagate = True
