"""A line of a batch on its way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Flight:
    """One line, as whoever feeds it knows it."""

    number: int
    custom_id: str
    body: bytes
    attempt: int = 0
    again: bool = False
    """It may have ended before: then what is stored of it is told, and nothing is computed."""
