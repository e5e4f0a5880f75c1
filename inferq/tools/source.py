"""Which of the two gives the answers: an engine in a child of this process, or a running gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from inferq.tools.options import load_engine
from shared.catalogue import ARCHITECTURES
from shared.errors import InvalidRequest

if TYPE_CHECKING:
    from inferq.tools.answers import Answers

F = TypeVar("F", bound=Callable[..., Any])
_LOADING = (
    *("family", "arch", "engine", "models_toml", "chat_format", "lora", "draft", "rope_freq_base", "rope_freq_scale"),
    *("context", "threads", "batch_size"),
)


def gateway_flags(command: F) -> F:
    command = click.option("--api-key", metavar="K", envvar="OPENAI_API_KEY", help="of the gateway  [OPENAI_API_KEY]")(
        command
    )
    return click.option("--url", metavar="URL", help="a running gateway, http://HOST:PORT")(command)


@contextmanager
def open_answers(model: str | None, flags: dict[str, Any]) -> Iterator[Answers]:
    from inferq.tools.answers import EngineAnswers
    from inferq.tools.gateway import GatewayAnswers

    if flags["url"]:
        for name in _LOADING:
            if flags.get(name):
                raise InvalidRequest("the gateway has loaded its models already; leave it out", param=_flag(name))
        yield GatewayAnswers(flags["url"], model, flags["api_key"])
        return
    if model is None and (named := flags.get("family")) and named not in ARCHITECTURES:
        model, flags = named, flags | {"family": None}  # as `inferq up` takes it
    if model is None:
        raise click.UsageError("Give a model: -m MODEL|FILE, or --url URL of a running gateway.")
    with load_engine(model, flags) as engine:
        yield EngineAnswers(engine)


def _flag(name: str) -> str:
    return {"family": "ARCH", "models_toml": "--models"}.get(name) or "--" + name.replace("_", "-")
