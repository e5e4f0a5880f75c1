"""Pauses between tries that fail: each twice as long as the last, up to a longest."""

from __future__ import annotations


class Backoff:
    """Counts the failures in a row."""

    def __init__(self, first: float, longest: float) -> None:
        """Both in seconds."""
        self.failures = 0
        self._first, self._longest = first, longest

    def fail(self) -> float:
        """Note a failure. Returns the seconds to wait before the next try."""
        self.failures += 1
        return self.pause

    def reset(self) -> None:
        """It went well."""
        self.failures = 0

    @property
    def pause(self) -> float:
        """Seconds to wait before the next try; 0 after one that went well."""
        # More than so many doublings make no difference, and too many no number.
        return min(self._first * 2.0 ** min(self.failures - 1, 20), self._longest) if self.failures else 0.0
