"""This release as a successor that is made up: what it writes has parts that this release has never heard of.

    python -P tests/upgrade/newer.py worker echo

Tasks, events, cards, tickets, entries of streams and commands have further fields; between the events are some of an
unknown kind, among the cards too. It understands all of it, and refuses what it does not know. What it leaves in Redis
that older releases cannot clean up has a time to live, as with a real one.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import MISSING, asdict, dataclass
from pathlib import Path
from typing import Any

VERSION = "999.0.0"
MADE_UP = {"type": "Unheard", "of": ["before", 1, None, {"type": "either"}]}
PRELUDE = Path(__file__).with_suffix(".lua").read_text()
KIND = "agents"
"""Cards that older releases do not know."""


@dataclass(frozen=True, slots=True)
class Thought:
    """An event that older releases do not know."""

    text: str


def change_wire() -> None:
    """Write like a newer release from now on, and understand what one writes."""
    from shared import codec, registry, scripts, version
    from shared.protocol import Chat

    def packed(value: Any, older: Callable[[Any], Any] = codec._pack) -> Any:
        fields = older(value)
        return {"newer": MADE_UP, **fields} if isinstance(fields, dict) else fields

    def event(value: Any, older: Callable[[Any], Any] = codec._event) -> Any:
        codec._unpack(value)  # raises for an event that even this release does not know
        return older(value)

    def fields(card: Any) -> dict[str, Any]:
        grown = {**asdict(card), "newer": MADE_UP}
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
    codec._KINDS["Thought"], codec._FIELDS[Thought] = Thought, {"text": MISSING}
    codec._KINDS["Talk"] = Chat  # a task that older releases do not know
    codec._pack, codec._event = packed, event
    registry.asdict, registry._announce = fields, announce  # type: ignore[assignment,attr-defined]
    scripts.text = text  # type: ignore[assignment]


def think() -> None:
    """Have workers emit events of the new kind between the others."""
    from worker.publish import Publisher

    def publish(self: Any, execution: Any, event: Any, state: Any = None, older: Any = Publisher.publish) -> None:
        if state or random.random() < 0.3:
            older(self, execution, Thought("Hm."))
        older(self, execution, event, state)

    Publisher.publish = publish  # type: ignore[method-assign]


def change_gateway() -> None:
    """Change the wire in each process of the gateway, after gevent has patched the standard library."""
    from gateway.server import Server

    def load(self: Any, older: Callable[[Any], Any] = Server.load) -> Any:
        change_wire()
        return older(self)

    Server.load = load  # type: ignore[method-assign]


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
