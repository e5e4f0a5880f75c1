"""The tokenizer of a GGUF file, and how it is made of a legacy file's vocabulary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from worker.formats.architectures.mapping import Architecture
from worker.formats.legacy import Legacy
from worker.formats.vocabulary import TokenKind, spell


@dataclass(frozen=True, slots=True)
class Tokenizer:
    model: str
    """`gpt2` (byte-level BPE), `llama` (SentencePiece) or `bert` (WordPiece)."""
    tokens: Sequence[str]
    kinds: Sequence[TokenKind]
    pre: str = ""
    """llama.cpp's name of how a text is split before byte-level BPE."""
    merges: Sequence[str] = ()
    scores: Sequence[float] = ()
    bos: int | None = None
    eos: int | None = None
    unknown: int | None = None
    separator: int | None = None
    padding: int | None = None
    mask: int | None = None
    add_bos: bool = False
    lowercase: bool | None = None
    """Of WordPiece: letters are made small before they are looked for; and the next, they lose their accents."""
    strip_accents: bool | None = None
    chat_template: str = ""


CONTROL = re.compile(rb"<\|[ -{}~]{1,40}\|>|<s>|</s>|<pad>|<unk>|<mask>|### (?:End|Instruction:|Response:)")
ENDS = (b"</s>", b"<|endoftext|>", b"<|im_end|>", b"<|end|>", b"### End")
"""Tokens that end an answer."""
_LOST = "�".encode()
"""Stands in some files for each token that is a part of a character: which part, is lost."""
_LONGEST = 256
"""Bytes of a token whose merges are looked for, which takes a time that grows with their square."""
_UNKNOWN, _BOS, _EOS, _FIRST_BYTE = 0, 1, 2, 3
"""The first tokens of SentencePiece's vocabulary for Llama, which legacy files may hold as empty texts."""


def of_legacy(legacy: Legacy, architecture: Architecture) -> Tokenizer:
    """A tokenizer that reads ordinary text as the model's own did. Tokens of which the file has lost the bytes,
    and doubles of others, keep their places under names of their own: llama.cpp takes no vocabulary with doubles."""
    if architecture.name == "llama" and _has_byte_tokens(legacy.vocabulary):
        return _sentence_piece(legacy)
    vocabulary = _restore(legacy.vocabulary)
    control = {i for i, token in enumerate(vocabulary) if CONTROL.fullmatch(token)}
    control = {i for i in control if vocabulary.index(vocabulary[i]) == i}
    lost = set(_lost(vocabulary, control))
    tokens, kinds = [], []
    for i, token in enumerate(vocabulary):
        literal = i in control
        tokens.append(_name(i) if i in lost else token.decode(errors="replace") if literal else spell(token))
        kinds.append(TokenKind.UNUSED if i in lost else TokenKind.CONTROL if literal else TokenKind.NORMAL)
    merges = [f"{spell(a)} {spell(b)}" for a, b in _merges(vocabulary, control | lost)]
    eos = next((vocabulary.index(end) for end in ENDS if end in vocabulary), None)
    bos = vocabulary.index(b"<s>") if b"<s>" in vocabulary else eos
    return Tokenizer("gpt2", tokens, kinds, architecture.pre, merges, bos=bos, eos=eos)


def _has_byte_tokens(vocabulary: Sequence[bytes]) -> bool:
    """Whether single bytes lie where SentencePiece puts them; llama.cpp fails at texts where they are missing."""
    return list(vocabulary[_FIRST_BYTE : _FIRST_BYTE + 256]) == [bytes([byte]) for byte in range(256)]


def _restore(vocabulary: Sequence[bytes]) -> Sequence[bytes]:
    """With the single bytes that are lost: all 256 stand together in the order of their letters."""
    alphabet = [bytes([byte]) for byte in sorted(range(256), key=lambda byte: spell(bytes([byte])))]
    start = vocabulary.index(alphabet[0]) if alphabet[0] in vocabulary else len(vocabulary)
    found = vocabulary[start : start + 256]
    if len(found) < 256 or any(token not in (byte, _LOST) for token, byte in zip(found, alphabet, strict=True)):
        return vocabulary
    return [*vocabulary[:start], *alphabet, *vocabulary[start + 256 :]]


def _name(i: int) -> str:
    return f"<|lost {i}|>"


def _lost(vocabulary: Sequence[bytes], control: Collection[int]) -> Iterator[int]:
    seen = {vocabulary[i] for i in control}
    for i, token in enumerate(vocabulary):
        if i in control:
            continue
        if not token or _LOST in token or token in seen:
            yield i
        seen.add(token)


def _merges(vocabulary: Sequence[bytes], without: Collection[int]) -> Iterator[tuple[bytes, bytes]]:
    """The merges that byte-level BPE was trained with, in their order: a token's number is that of the merge it came
    of, so what its bytes are merged to by the earlier ones are the two parts of its own."""
    rank = {token: i for i, token in enumerate(vocabulary) if i not in without}
    for i, token in enumerate(vocabulary):
        if i in without or not 2 <= len(token) <= _LONGEST:
            continue
        parts = [token[k : k + 1] for k in range(len(token))]
        while len(parts) > 2:
            ranks = [rank.get(a + b, i) for a, b in pairwise(parts)]
            if (least := min(ranks)) >= i:
                break
            at = ranks.index(least)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        if len(parts) == 2 and all(part in rank for part in parts):
            yield parts[0], parts[1]


def _sentence_piece(legacy: Legacy) -> Tokenizer:
    names = {
        _UNKNOWN: ("<unk>", TokenKind.UNKNOWN),
        _BOS: ("<s>", TokenKind.CONTROL),
        _EOS: ("</s>", TokenKind.CONTROL),
    }
    tokens: list[str] = []
    kinds: list[TokenKind] = []
    for i, token in enumerate(legacy.vocabulary):
        if i in names and token in (b"", b" \xe2\x81\x87 ", names[i][0].encode()):
            word, kind = names[i]
        elif _FIRST_BYTE <= i < _FIRST_BYTE + 256 and token == bytes([i - _FIRST_BYTE]):
            word, kind = f"<0x{i - _FIRST_BYTE:02X}>", TokenKind.BYTE
        elif CONTROL.fullmatch(token):
            word, kind = token.decode(), TokenKind.CONTROL
        else:
            word, kind = token.decode(errors="replace").replace(" ", "▁"), TokenKind.NORMAL
        tokens.append(word)
        kinds.append(kind)
    times = Counter(tokens)
    for i, word in enumerate(tokens):
        if not word or _LOST.decode() in word or (times[word] > 1 and tokens.index(word) != i):
            tokens[i], kinds[i] = _name(i), TokenKind.UNUSED
    scores = legacy.scores or [-float(i) for i in range(len(tokens))]
    places = {word: i for i, word in enumerate(tokens)}
    bos, eos = places.get("<s>"), places.get("</s>", places.get("<|endoftext|>"))
    return Tokenizer("llama", tokens, kinds, "", (), scores, bos, eos, places.get("<unk>"), add_bos=bos is not None)
