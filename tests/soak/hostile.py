"""Hostile clients at a low rate: the attacks, one after the other, with a twentieth of their clients."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from random import Random

from tests.attack.attacker import Target, run
from tests.attack.plan import ATTACKS, Scene

_SECONDS = 2.0
"""Of each attack."""


async def be_hostile(target: Target, real: str, random: Random, hits: Counter[str]) -> None:
    """Attack in ways drawn at random, until cancelled; `real` is the model in an engine. Counts what hit."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        while True:
            attack = random.choice([each for each in ATTACKS.values() if each.scene is not Scene.OPEN])
            mine = replace(target, seconds=_SECONDS, model=real if attack.scene is Scene.REAL else target.model)
            found = await loop.run_in_executor(pool, run, attack.body, mine)
            hits[attack.name] += found.count
            await asyncio.sleep(random.uniform(0.5, 2))
