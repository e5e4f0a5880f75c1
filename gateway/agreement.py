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
        """What of a piece has not arrived yet; None where nothing. What comes again has to come in its order, from the
        first character on, whether or not that was to be expected.

        Raises Conflict.
        """
        course = self._course
        if self._again is None and piece.offset == 0 < course.characters:
            self.rewind()  # it begins anew, although nobody has said so
        elif self._again and not self._again.length and piece.offset == course.characters > 0:
            self._again = None  # it goes on: what came in between took nothing away
        if self._again is not None:
            return self._take_again(piece, self._again)
        if piece.offset != course.characters:
            raise Conflict
        part = course.transcript.mark(piece) + piece.text
        if self._ended:
            if part:
                raise Conflict
            return None
        course.add(part, len(piece.text))
        self._ended = piece.finish_reason is not None
        return piece

    def _take_again(self, piece: Delta, again: _Course) -> Delta | None:
        course = self._course
        if piece.offset != again.characters:
            raise Conflict
        mark = again.transcript.mark(piece)
        part = mark + piece.text
        known = min(course.length - again.length, len(part))
        again.add(part[:known], max(0, known - len(mark)))
        if again.length == course.length:
            if again.digest() != course.digest():
                raise Conflict
            self._again = None
            if part[known:] and piece.logprobs:
                raise Conflict  # nobody knows how likely the rest of it was
            if part[known:] or piece.finish_reason:  # which a mark cannot be a part of: there are no halves of any
                text = piece.text[len(piece.text) - len(part[known:]) :]
                return self.take(replace(piece, text=text, tokens=(), logprobs=(), offset=course.characters))
        elif piece.finish_reason:
            raise Conflict  # it ends before what has arrived
        return None
