"""What the schemas make of a request: a task and how it is answered, or an error."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.schemas import Format
from gateway.schemas.chat import ChatFormat
from gateway.schemas.completion import CompletionFormat
from gateway.schemas.problem import CODES
from shared.config import Config
from shared.errors import InvalidRequest
from shared.protocol import Options

DEFAULTS = Config()
CHAT, COMPLETION = ChatFormat(), CompletionFormat()
USER = {"role": "user", "content": "Hi"}


def chat(**given: Any) -> tuple[Any, Options]:
    return CHAT.parse({"model": "m", "messages": [USER], **given}, 7, DEFAULTS)


def completion(**given: Any) -> tuple[Any, Options]:
    return COMPLETION.parse({"model": "m", "prompt": "Once", **given}, 7, DEFAULTS)


def refused(body: object, wire: Format = CHAT, config: Config = DEFAULTS) -> tuple[str | None, str]:
    """(param, code) of the error; every message is words that name the parameter."""
    with pytest.raises(InvalidRequest) as caught:
        wire.parse(body, 7, config)
    error = caught.value
    assert error.message.endswith(".")
    assert error.message.isprintable()
    assert error.code in CODES
    if error.param is not None:
        assert error.param in error.message
    return error.param, error.code


def refused_chat(**given: Any) -> tuple[str | None, str]:
    return refused({"model": "m", "messages": [USER], **given})
