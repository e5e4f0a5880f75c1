"""The bytes that the tokens of a GGUF file stand for, and how byte-level BPE spells them."""

from __future__ import annotations

import functools
import re
from enum import IntEnum
from itertools import repeat
from pathlib import Path

from shared.regular_file import open_regular
from worker.formats.gguf import Header, MetadataArray, elements, read_header


class TokenKind(IntEnum):
    """The types of tokens."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


_LITERAL = (TokenKind.CONTROL, TokenKind.USER_DEFINED)
"""Those that are written as they are."""
_BYTE = re.compile(rb"<0x([0-9A-F]{2})>")


def pieces(path: Path) -> list[bytes]:
    """What each token stands for. Byte-level BPE spells bytes as letters, SentencePiece spaces as U+2581."""
    decode = _byte_level if read_header(path).metadata.get("tokenizer.ggml.model") == "gpt2" else _sentence_piece
    return [word if kind in _LITERAL else decode(word) for word, kind in words(path)]


def words(path: Path) -> list[tuple[bytes, int]]:
    """Each token as the file writes it, and its `TokenKind`, or whatever number stands there."""
    metadata = read_header(path).metadata
    tokens = metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, MetadataArray):
        return []
    written = elements(path, tokens)
    types = metadata.get("tokenizer.ggml.token_type")
    return list(zip(written, elements(path, types) if types else repeat(TokenKind.NORMAL), strict=False))


def read_vocabulary(path: Path, header: Header) -> bytes:
    """The vocabulary as the file has it."""
    start, end = header.pairs.get("tokenizer.ggml.tokens", (0, 0))
    with open_regular(path) as file:
        file.seek(start)
        return file.read(end - start)


def _byte_level(word: bytes) -> bytes:
    letters = _letters()
    return b"".join(letters.get(letter, letter.encode()) for letter in word.decode(errors="replace"))


def _sentence_piece(word: bytes) -> bytes:
    if found := _BYTE.fullmatch(word):
        return bytes.fromhex(found[1].decode())
    return word.replace("▁".encode(), b" ")


@functools.cache
def _letters() -> dict[str, bytes]:
    """GPT-2's alphabet: a byte that is a visible letter of Latin-1 is that letter, the n-th other one is U+0100 + n."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): bytes([byte]) for byte in visible} | {
        chr(0x100 + n): bytes([byte]) for n, byte in enumerate(others)
    }


def spell(token: bytes) -> str:
    """A token as byte-level BPE writes it: each byte is a letter."""
    letters = _spelling()
    return "".join(letters[byte] for byte in token)


@functools.cache
def _spelling() -> dict[int, str]:
    return {byte[0]: letter for letter, byte in _letters().items()}
