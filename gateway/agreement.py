"""Whether what comes again of an answer is the same: asked where it may have been computed twice."""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from shared.protocol import Delta
from shared.transcript import Transcript

_TAIL = 4096
"""Bytes that are digested at once."""


class Conflict(Exception):
    """What arrives is not how the answer goes on that has arrived before."""


class _Course:
    """The pieces of a choice from its beginning on: how much it is, and a digest of its transcript."""

    def __init__(self) -> None:
        self.characters = 0
        """Of its text, as `Delta.offset` counts them."""
        self.length = 0
        """Of its transcript."""
        self.transcript = Transcript()
        self._digest = hashlib.blake2b()
        self._tail = bytearray()
        """What the digest has yet to take in: pieces are small, and taking each in by itself is dear."""

    def add(self, part: str, characters: int) -> None:
        """More of the transcript, which has so many characters of text."""
        self.length += len(part)
        self.characters += characters
        self._tail += part.encode(errors="surrogatepass")
        if len(self._tail) >= _TAIL:
            self._take_in()

    def digest(self) -> bytes:
        self._take_in()
        return self._digest.digest()

    def _take_in(self) -> None:
        self._digest.update(self._tail)
        self._tail.clear()


class ArrivedChoice:
    """What has arrived of one choice."""

    def __init__(self) -> None:
        self._course = _Course()
        self._again: _Course | None = None
        """As much of it as has come again, until all has."""
        self._ended = False

    def rewind(self) -> None:
        """What comes next begins with the first character."""
        self._again = _Course() if self._course.length else None

    def take(self, piece: Delta) -> Delta | None:
        """What of a piece has not arrived yet; None where nothing. What comes again has to come in its order.

        Raises Conflict.
        """
        course = self._again or self._course
        if piece.offset != course.characters:
            raise Conflict
        mark = course.transcript.mark(piece)
        part = mark + piece.text
        known = self._compare(part, len(mark)) if self._again else 0
        if self._again and piece.finish_reason:
            raise Conflict  # it ends before what has arrived
        if self._again or (known == len(part) and known and not piece.finish_reason):
            return None
        if self._ended:
            if known < len(part):
                raise Conflict
            return None
        text = piece.text[max(0, known - len(mark)) :]
        self._course.add(part[known:], len(text))
        self._ended = piece.finish_reason is not None
        if not known:
            return piece
        return replace(piece, text=text, tokens=(), offset=self._course.characters - len(text))

    def _compare(self, part: str, mark: int) -> int:
        """How much of it comes again; the first `mark` characters are no text. Raises Conflict."""
        assert self._again is not None
        known = min(self._course.length - self._again.length, len(part))
        self._again.add(part[:known], max(0, known - mark))
        if self._again.length == self._course.length:
            if self._again.digest() != self._course.digest():
                raise Conflict
            self._again = None
        return known
