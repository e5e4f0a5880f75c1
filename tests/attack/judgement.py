"""What came of an attack, and whether the service stood."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.attack.attacker import Hits
from tests.attack.plan import Attack
from tests.attack.victim import Chat
from tests.attack.watch import Seen

TIMES = 50
"""A first token comes within so many times what it takes at rest, where that is longer than the attack's `latest`."""
MOST_MEMORY = 300_000_000
"""Bytes that a gateway may take beyond what it has idle."""
MOST_KEPT = 100_000_000
"""The same once the attack is over: Python keeps what lies beside something that lives, and uses it again."""
MOST_WORKER = 500_000_000
"""Bytes that a worker may take beyond what it has before an attack."""
MOST_HOST = 600_000_000
"""The same of an engine host, of which one that scores has the weights and cells of the other anew."""
MINUTE = 60.0
"""Seconds until then."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attack, its victim and its watch have seen."""

    attack: Attack
    hits: Hits
    before: Sequence[Chat]
    during: Sequence[Chat]
    after: Sequence[Chat]
    seen: Seen
    back: float
    """Seconds until the gateway's memory was back, at most a minute."""
    kept: int
    """Bytes above idle after that."""
    leaked: Sequence[str]
    """Whose keys stand in the log."""
    overfull: int = 0
    """Bytes of what is stored beyond what may be."""
    slow: float = 1.0
    """How many times slower the machine was, before or afterwards, than the one on which `latest` holds."""

    @property
    def baseline(self) -> float:
        """Seconds to a first token at rest."""
        return statistics.median(chat.first for chat in self.before)

    @property
    def limit(self) -> float:
        return max(self.slow * self.attack.latest, TIMES * self.baseline)

    @property
    def latest(self) -> float:
        """The worst time to a first token, in seconds."""
        return max(chat.first for chat in (*self.during, *self.after))

    def faults(self) -> Iterator[str]:
        """Why the service did not stand; nothing where it did."""
        if self.hits.count < self.attack.least:
            yield f"void: it hit {self.hits.count} times, of {self.attack.least} that it takes"
        for when, chats in (("meanwhile", self.during), ("afterwards", self.after)):
            late = [chat.first for chat in chats if chat.first > self.limit and not chat.failure]
            failed = [chat.failure for chat in chats if chat.failure]
            if not chats:
                yield f"void: no victim asked {when}"
            if late:
                latest = f"the latest after {max(late):.1f} s, not {self.limit:.1f}"
                yield f"{when} {len(late)} of {len(chats)} first tokens came late, {latest}"
            if failed:
                yield f"{when} {len(failed)} of {len(chats)} victims were not served: {failed[0]}"
        for name in self.seen.ended:
            yield f"{name} has ended"
        if self.seen.lapsed:
            yield f"{self.seen.lapsed} workers were taken for dead"
        above = self.seen.worst - self.seen.idle
        if above > MOST_MEMORY:
            yield f"a gateway took {above / 1e6:.0f} MB above idle"
        for what, took, most in (("worker", self.seen.worker, MOST_WORKER), ("host", self.seen.host, MOST_HOST)):
            if took > most:
                yield f"a {what} took {took / 1e6:.0f} MB more than before"
        if self.kept > MOST_KEPT:
            yield f"it keeps {self.kept / 1e6:.0f} MB after a minute"
        if self.overfull > 0:
            yield f"the archive has {self.overfull / 1e6:.1f} MB more than it may"
        for name in self.leaked:
            yield f"the key of {name} is in the log"
        yield from self.hits.holes


def told(outcome: Outcome) -> str:
    """A line of the table, and below it why the service did not stand."""
    seen, above = outcome.seen, outcome.seen.worst - outcome.seen.idle
    row = (
        f"{outcome.attack.name:26} {outcome.latest:7.2f} {outcome.baseline:7.3f} {outcome.slow:5.1f} "
        f"{above / 1e6:7.0f} {outcome.kept / 1e6:7.0f} {outcome.back:6.1f} {seen.redis / 1e6:6.0f} "
        f"{seen.worker / 1e6:6.0f} {seen.host / 1e6:6.0f} "
        f"{'all live' if not seen.ended else f'{len(seen.ended)} ended':9}"
    )
    faults = list(outcome.faults())
    row += f" {'FAILED' if faults else 'stood':7} {outcome.hits.told()}"
    return "\n    ".join([row, *faults])


HEAD = (
    f"{'attack':26} {'latest':>7} {'at rest':>7} {'slow':>5} {'memory':>7} {'kept':>7} {'after':>6} {'redis':>6} "
    f"{'worker':>6} {'host':>6} {'processes':9} {'verdict':7} hit\n"
    f"{'':26} {'s':>7} {'s':>7} {'times':>5} {'MB':>7} {'MB':>7} {'s':>6} {'MB':>6} {'MB':>6} {'MB':>6}"
)
