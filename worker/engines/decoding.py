"""What tokens stand for, as a text."""

from __future__ import annotations

from collections.abc import Iterable

from shared.errors import InvalidRequest
from shared.protocol import Decoded

LARGEST_DECODED = 16_777_216
"""Bytes of it: a few bytes of a request are the id of a token that may have hundreds."""


def decode(pieces: Iterable[bytes], *, spaced: bool) -> Decoded:
    """What the texts of tokens make together; `spaced`: their tokenizer puts a space before each text.

    What is no character is U+FFFD. Raises InvalidRequest.
    """
    found, size = list[bytes](), 0
    for piece in pieces:
        found.append(piece)
        size += len(piece)
        if size > LARGEST_DECODED:
            raise InvalidRequest(f"Invalid 'tokens': their text has more than {LARGEST_DECODED} bytes.", param="tokens")
    text = b"".join(found).decode(errors="replace")
    return Decoded(text, int(spaced and text.startswith(" ")))
