"""One attack, from the start of the parts to the verdict."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tests.attack.attacker import Hits, run
from tests.attack.ground import Ground
from tests.attack.judgement import MINUTE, MOST_KEPT, Outcome
from tests.attack.plan import Attack
from tests.attack.victim import Chat, Victim
from tests.attack.watch import Watch
from tests.pace import slowness

_CHATS = 8
"""Of the victim, before the first attack and after each."""
_LEAST = 2.0
"""Seconds in which a victim asks at least once."""


def play(attacks: Sequence[Attack], seconds: float) -> Iterator[Outcome]:
    """Attack in each of these ways for so long, and look. Whatever has stood, as good as new, stands for the next."""
    left = list(attacks)
    rest: Sequence[Chat]
    while left:
        with tempfile.TemporaryDirectory() as folder:
            ground = Ground(Path(folder), left[0].scene)
            try:
                ground.start()
                unhurt, rest = True, ()
                while unhurt and left and left[0].scene is ground.scene:
                    outcome = _play(left[0], ground, seconds, rest)
                    rest = outcome.before
                    unhurt = not left.pop(0).stays and not any(outcome.faults())
                    yield outcome
            finally:
                ground.close()


def _play(attack: Attack, ground: Ground, seconds: float, rest: Sequence[Chat]) -> Outcome:
    """`rest`: how the victim was served before the first attack on this ground; empty where this is the first one."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool, Victim(ground, stores=attack.stores) as victim:
        pool.submit(time.sleep, 0).result()  # the attacker's process is there
        before = victim.wait(0, 2 if rest else _CHATS + 1)[1:]  # the first one opens connections
        if failed := [chat.failure for chat in before if chat.failure]:
            raise AssertionError(f"not served before {attack.name}: {failed[0]}")
        slow = slowness()
        with Watch(ground) as watch:
            begun = time.monotonic()
            hits: Hits = pool.submit(run, attack.body, ground.target(seconds, attack.least)).result()
            time.sleep(max(0.0, begun + _LEAST - time.monotonic()))  # one that is over at once
            pool.shutdown()  # which breaks off all its connections
            ended = time.monotonic()
            after = victim.wait(ended, _CHATS)
            back = watch.calm_down(MOST_KEPT, MINUTE)
            kept = watch.seen.now - watch.seen.idle
        during = victim.between(begun, ended)
        slow = max(slow, slowness())
    log = ground.logged()
    leaked = [name for name, key in ground.keys.items() if key in log]
    return Outcome(attack, hits, rest or before, during, after, watch.seen, back, kept, leaked, ground.overfull(), slow)
