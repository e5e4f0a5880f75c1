"""Whether text that comes again is the same: asked where an answer may have been computed twice."""

from __future__ import annotations

import hashlib

_TAIL = 4096
"""Bytes that are digested at once."""


class ArrivedText:
    """What has arrived of one choice: how much, and a digest, by which text that comes again is told to be the same."""

    def __init__(self) -> None:
        self.length = 0
        self.ended = False
        self._digest = hashlib.blake2b()
        self._tail = bytearray()
        """What the digest has yet to take in: pieces are small, and taking each in by itself is dear."""
        self._again = 0
        """How much of it has come again, in order."""
        self._digest_again = hashlib.blake2b()

    def add(self, text: str) -> None:
        self.length += len(text)
        self._tail += text.encode()
        if len(self._tail) >= _TAIL:
            self._take_in()

    def _take_in(self) -> None:
        self._digest.update(self._tail)
        self._tail.clear()

    def rewind(self) -> None:
        """What comes next begins with the first character."""
        self._again = 0
        self._digest_again = hashlib.blake2b()

    def agrees(self, offset: int, text: str) -> bool:
        """Whether this, which comes again, goes on with what has; and once all has come, whether it is the same."""
        if offset != self._again:
            return False
        self._again += len(text)
        self._digest_again.update(text.encode())
        if self._again < self.length:
            return True
        self._take_in()
        return self._digest_again.digest() == self._digest.digest()
