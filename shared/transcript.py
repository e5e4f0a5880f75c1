"""A choice as one text, by which an answer that comes again is told to be the same."""

from __future__ import annotations

from shared.protocol import Call, Delta

_EDGE = "\ud800"
"""Stands around a mark; no text has it, for it is half a character."""


class Transcript:
    """Marks the pieces of a choice, in their order: what follows a mark is of its channel. Strung together, marks and
    texts are the same text wherever the pieces were cut, and another one where the same words are of another channel.
    """

    def __init__(self) -> None:
        self._channel: Call | bool = False

    def mark(self, piece: Delta) -> str:
        """What comes before the text of the next piece: mostly nothing. A call is marked although it has no text."""
        channel = piece.channel
        if channel == self._channel or not (piece.text or piece.call):
            return ""
        self._channel = channel
        match channel:
            case Call(index=index, name=name, custom=custom):
                return f"{_EDGE}{index} {int(custom)} {name}{_EDGE}"
            case thoughts:
                return f"{_EDGE}{int(thoughts)}{_EDGE}"
