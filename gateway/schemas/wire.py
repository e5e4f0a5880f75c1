"""What a wire format is: the way in and the two ways out of one endpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from shared.protocol import Accepted, Event, Task
from shared.ticket import Tier

Chunks = Callable[[Event], Iterable[dict[str, Any]]]
"""Makes the chunks of one event; it remembers what of the same stream came before."""


@dataclass(frozen=True, slots=True)
class Options:
    """What of a request concerns only how its answer is sent, and how soon."""

    stream: bool
    include_usage: bool
    tier: Tier = Tier.DEFAULT


class WireFormat(Protocol):
    """JSON in; JSON or chunks out, both made from the same events.

    `Progress` is skipped. `Failed` must not come: who reads a job's events raises it before they get here.
    """

    id_prefix: str
    """What the ids of this format's jobs and answers begin with."""

    def parse(self, body: object, seed: int) -> tuple[Task, Options]:
        """The validated request. `seed` is taken where it gives none. Raises InvalidRequest, naming the parameter."""

    def render(self, job_id: str, accepted: Accepted, events: Iterable[Event]) -> dict[str, Any]:
        """The whole answer: a fold over the events, which end with `Done`."""

    def render_chunks(self, job_id: str, accepted: Accepted, include_usage: bool) -> Chunks:
        """The chunks of one stream: call what is returned with each of the events, in their order."""
