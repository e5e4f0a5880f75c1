"""This release as a successor that is made up: what it writes has parts that this release has never heard of.

    python -P tests/upgrade/newer.py worker echo

Tasks, events, cards, tickets, entries of streams and commands have further fields; between the events are some of an
unknown kind, among the cards too. It understands all of it, and refuses what it does not know. What it leaves in Redis
that older releases cannot clean up has a time to live, as with a real one.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from msgspec import Struct, ValidationError
from msgspec.json import Decoder

VERSION = "999.0.0"
MADE_UP = {"type": "Unheard", "of": ["before", 1, None, {"type": "either"}]}
PRELUDE = Path(__file__).with_suffix(".lua").read_text()
KIND = "agents"
"""Cards that older releases do not know."""


class Thought(Struct, frozen=True, tag=True, tag_field="type"):
    """An event that older releases do not know."""

    text: str


class Grown:
    """Writes every record with a further field."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder

    def encode(self, records: Any) -> bytes:
        def grow(value: Any) -> Any:
            if isinstance(value, dict):
                return {"newer": MADE_UP, **{name: grow(each) for name, each in value.items()}}
            return [grow(each) for each in value] if isinstance(value, list) else value

        return json.dumps(grow(json.loads(self._encoder.encode(records))), ensure_ascii=False).encode()


class Learned:
    """Reads what this release knows, and besides a task and an event of new kinds; nothing else may come."""

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder

    def decode(self, blob: bytes | str) -> Any:
        text = blob if isinstance(blob, str) else blob.decode()
        try:
            found = self._decoder.decode(text.replace('"Talk"', '"Chat"'))
        except ValidationError as exc:
            raise AssertionError(f"even this release does not know {text}") from exc
        return [None if isinstance(each, Thought) else each for each in found]


def change_wire() -> None:
    """Write like a newer release from now on, and understand what one writes."""
    from shared import codec, registry, scripts, version
    from shared.protocol import Event

    def fields(card: Any) -> dict[str, Any]:
        grown = {"text": card.text} if isinstance(card, Thought) else {**asdict(card), "newer": MADE_UP}
        for each in filter(None, (grown, grown.get("card"))):
            if "capabilities" in each:
                each |= {"newer": MADE_UP, "capabilities": (*each["capabilities"], "made-up")}
        return grown

    def announce(*args: Any, older: Callable[..., None] = registry._announce) -> None:
        older(*args)
        client, _, name, ttl = args[:4]
        older(client, KIND, name, ttl, Thought("I live"))
        for key in (f"iq:live:{KIND}", f"iq:card:{KIND}:{name}"):
            client.expire(key, ttl)

    def text(name: str, older: Callable[[str], str] = scripts.text) -> str:
        first, _, rest = older(name).partition("\n")
        return f"{first}\n{PRELUDE}\n{rest}"

    version.VERSION = VERSION
    codec._ENCODER = Grown(codec._ENCODER)  # type: ignore[assignment]  # put into its place
    codec._ACCEPTED = Learned(codec._ACCEPTED)  # type: ignore[assignment]  # put into its place
    codec._EVENTS = Learned(Decoder(list[Event | Thought | None]))  # type: ignore[assignment]  # put into its place
    registry.asdict, registry._announce = fields, announce  # type: ignore[assignment,attr-defined]  # put into its place
    scripts.text = text  # type: ignore[assignment]  # put into its place


def think() -> None:
    """Have workers emit events of the new kind between the others."""
    from shared.protocol import final_state
    from worker.publish import Publisher

    def publish(self: Any, execution: Any, event: Any, older: Any = Publisher.publish) -> None:
        if final_state(event) or random.random() < 0.3:
            older(self, execution, Thought("Hm."))
        older(self, execution, event)

    Publisher.publish = publish  # type: ignore[method-assign]  # put into its place


def change_gateway() -> None:
    """Change the wire in each process of the gateway, after gevent has patched the standard library."""
    from gateway.server import Server

    def load(self: Any, older: Callable[[Any], Any] = Server.load) -> Any:
        change_wire()
        return older(self)

    Server.load = load  # type: ignore[method-assign]  # put into its place


def main() -> None:
    from inferq import cli

    if sys.argv[1:2] == ["gateway"]:
        change_gateway()
    else:
        change_wire()
        if sys.argv[1:2] == ["worker"]:
            think()
    cli.main()


if __name__ == "__main__":
    main()
