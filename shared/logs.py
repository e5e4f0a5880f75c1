"""Logs: one line an event, on stderr, as text or as JSON.

Whatever is known about the matter at hand goes along as fields: those of `bind`, and those of the call's `extra`.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, BinaryIO

_bound: ContextVar[Mapping[str, Any]] = ContextVar("bound")
_OWN = vars(logging.makeLogRecord({})).keys() | {"message", "asctime"}
_LONGEST, _KEPT = 1 << 20, 256 << 10
"""Bytes of a log that others write: how long it may become, and how much of its end is kept then."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What could begin a line, steer a terminal, or show letters in another order than they have."""


def setup(level: str, form: str) -> None:
    """Have every logger of this process write to stderr.

    `level` is `debug`, `info`, `warning` or `error`; `form` is `text` or `json`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonFormatter() if form == "json" else _TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def bind(**fields: str) -> None:
    """Give these fields, and no others, to all further lines of this thread or greenlet."""
    _bound.set(fields)


def shorten(path: Path) -> None:
    """Keep only the end of a log that another process appends to, once it is longer than about 1 MiB.

    The file stays the same one; what is appended at this very moment may be lost. It is called now and then.
    """
    with suppress(OSError), path.open("r+b") as file:
        shorten_open(file)


def shorten_open(file: BinaryIO) -> None:
    """As `shorten`, for a log that is open. Raises OSError."""
    size = file.seek(0, 2)
    if size > _LONGEST:
        file.seek(size - _KEPT)
        end = file.read(_KEPT)
        file.seek(0)
        file.write(end)
        file.truncate()


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What is known beyond the message; what is empty is left out."""
    given = {**_bound.get({}), **{name: value for name, value in vars(record).items() if name not in _OWN}}
    return {name: value for name, value in given.items() if value not in ("", None)}


class _TextFormatter(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s[%(process)d] %(message)s", "%Y-%m-%dT%H:%M:%S"
        )

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        words = [super().formatMessage(record), *(f"{name}={_word(value)}" for name, value in _fields(record).items())]
        return _escape(" ".join(words))

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's name
        return "\n".join(map(_escape, super().formatException(ei).split("\n")))


def _escape(text: str) -> str:
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def _word(value: Any) -> str:
    text = str(value)
    return text if re.fullmatch(r"[^\s\"=]+", text) else json.dumps(text, ensure_ascii=False)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        text = json.dumps(line, ensure_ascii=False, default=str)
        return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
