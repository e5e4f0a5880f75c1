"""How many lines of a batch are in flight: so many that no slot idles, and no more. Pure."""

from __future__ import annotations

FEWEST = 4
"""Lines in flight to begin with."""
MOST_IN_FLIGHT = 256
"""Lines of a batch whose jobs are in Redis at one time."""
MOST_BYTES_IN_FLIGHT = 4_194_304
"""The same in bytes of these lines; a single one may have more."""
LARGEST_WAITING = 65_536
"""Bytes of a line that is held where it has to wait, and nothing of its batch is in flight: a larger one is read again
later."""
_SPARE = 4
"""Lines that may wait beyond twice as many as begin before the next look."""


class FlightWindow:
    """Of one batch."""

    def __init__(self) -> None:
        self.size = FEWEST

    def has_room(self, lines: int, size: int, more: int) -> bool:
        """For a line of `more` bytes, beside so many lines of `size` bytes together."""
        return not lines or (lines < self.size and size + more <= MOST_BYTES_IN_FLIGHT)

    def adapt(self, running: int, waiting: int, ended: int) -> None:
        """Of those in flight at this look so many run, so many wait still, and so many have ended since the last one.

        As many are to wait as run, for those may all end before the next look; and more than have ended.
        """
        if waiting <= ended or waiting < running:
            self.size = min(MOST_IN_FLIGHT, self.size + max(ended, self.size // 2))
        elif waiting > 2 * max(running, ended) + _SPARE:
            self.size = max(FEWEST, self.size - 1)
