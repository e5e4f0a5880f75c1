"""What models need of the memory, before they are loaded: `footprint`, and the context that fits: `fit_context`."""

from __future__ import annotations

from shared.memory import DoesNotFit
from worker.memory.context import Fitted, fit_context, footprint
from worker.memory.fitting import find_room, find_trial, fit_start
from worker.memory.footprint import Footprint
from worker.memory.shares import share

__all__ = [
    "DoesNotFit",
    "Fitted",
    "Footprint",
    "find_room",
    "find_trial",
    "fit_context",
    "fit_start",
    "footprint",
    "share",
]
