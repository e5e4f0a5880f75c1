"""The body of a request, understood: whoever asks, over HTTP or in a line of a file."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from gateway import bodies, references
from gateway.schemas import Format
from gateway.schemas.body import load_body
from gateway.schemas.responses.references import Referring
from gateway.state import this_gateway
from shared.protocol import Options, Task

T = TypeVar("T")


def as_it_is(asked: Any) -> Any:
    return asked


def understand(
    wire: Format,
    body: bytes,
    owner: str,
    seed: int,
    look: Callable[[Format, Any], T],
    amend: Callable[[Any], Any] = as_it_is,
) -> tuple[Format, Task, Options, T]:
    """In which format a body asks and what for, and what `look` says of that; large ones keep nobody waiting.

    `amend` makes what was sent into what is asked. Raises InvalidRequest, GatewayBusy, and what `references` do.
    """
    config = this_gateway().config

    def parse(wire: Format, asked: Any) -> tuple[Format, Task, Options, T]:
        found = wire.of(asked)
        return found, *found.parse(asked, seed, config), look(found, asked)

    if isinstance(wire, Referring):
        asked = bodies.apart(owner, len(body), lambda: amend(load_body(body)))
        wire, more = references.look_up(wire, asked, owner)  # here, and not in a thread: it asks others
        with bodies.holding(owner, more):
            return bodies.apart(owner, len(body) + more, partial(parse, wire, asked))
    return bodies.apart(owner, len(body), lambda: parse(wire, amend(load_body(body))))
