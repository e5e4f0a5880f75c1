"""Where tokens begin in the text that they make."""

from __future__ import annotations

from codecs import utf_8_decode


class TokenOffsets:
    """Follows a text by the bytes of its tokens, in characters.

    A token that is a part of a character begins where the character does. One that is not in the text, such as the name
    of a special token, begins where the next one does.
    """

    def __init__(self) -> None:
        self._text = ""
        self._before = 0
        self._at = 0
        self._part = b""
        """Of a character that is not whole yet."""

    def begin(self, text: str, before: int) -> None:
        """What comes is of this text, before which there are so many characters."""
        self._text, self._before, self._at, self._part = text, before, 0, b""

    def place(self, token: bytes) -> int:
        """Where the next token begins."""
        place, left = self._before + self._at, len(self._text) - self._at
        blob = self._part + token
        said, size = utf_8_decode(blob, "replace", False)
        self._part = blob[size:]
        if self._text.startswith(said, self._at):
            self._at += len(said)
        elif said[:1] == " " and self._text.startswith(said[1:], self._at):  # many tokenizers put one before a text
            self._at += len(said) - 1
        elif left < len(said) and said.startswith(self._text[self._at :]):  # a stop string cuts it
            self._at += left
        return place
