"""Texts and tokens of a legacy file, without ctransformers' own tokenizer, which long words and emoji crash."""

from __future__ import annotations

from collections.abc import Sequence

from shared.cancellation import NEVER, Cancellable
from shared.context import Room
from shared.errors import InvalidRequest
from worker.formats.architectures import ARCHITECTURES
from worker.formats.byte_pairs import BytePairs
from worker.formats.legacy import Legacy
from worker.formats.sentence_pieces import SentencePieces
from worker.formats.tokenizer import ENDS, of_legacy

_SENTENCE_PIECES = ("llama", "replit")
_SPACE = "▁".encode()
"""Stands for a space in Replit's files."""


class LegacyText:
    """What a model's tokens stand for. `ends` are those that end an answer."""

    def __init__(self, legacy: Legacy) -> None:
        tokenizer = of_legacy(legacy, ARCHITECTURES[legacy.architecture])
        replit = legacy.architecture == "replit"
        self._bytes = tuple(t.replace(_SPACE, b" ") for t in legacy.vocabulary) if replit else legacy.vocabulary
        self.size = len(legacy.vocabulary)
        self.bos, self.begins = tokenizer.bos, tokenizer.add_bos
        self.ends = frozenset(i for i, token in enumerate(self._bytes) if i == tokenizer.eos or token in ENDS)
        self.bos_text = "" if tokenizer.bos is None else tokenizer.tokens[tokenizer.bos]
        self.eos_text = "" if tokenizer.eos is None else tokenizer.tokens[tokenizer.eos]
        self._encoder = (
            SentencePieces(self._bytes, legacy.scores, spaced=not replit)
            if legacy.architecture in _SENTENCE_PIECES and legacy.scores
            else BytePairs(legacy.vocabulary)
        )
        self.spaced = isinstance(self._encoder, SentencePieces) and not replit

    @property
    def vocabulary(self) -> Sequence[bytes]:
        """What each token stands for, which may be a part of a character; of a special one its name."""
        return self._bytes

    @property
    def longest(self) -> int:
        """Bytes of the longest token."""
        return max(map(len, self._bytes))

    @property
    def control(self) -> frozenset[str]:
        """The texts of special tokens."""
        return self._encoder.control

    def tokens(
        self,
        texts: str | Sequence[str],
        work: Cancellable = NEVER,
        room: Room | None = None,
        *,
        special: bool = True,
        parse_special: bool = True,
    ) -> list[int]:
        """A prompt's tokens, with the one that begins it where the model has such, unless it is to have no `special`
        one; see `TextEncoder.encode`.

        No token is made of two texts.
        """
        first, *more = [texts] if isinstance(texts, str) else texts
        if not first and not more:
            return []
        tokens = self._encoder.encode(first, work, parse_special=parse_special, room=room)
        for text in more:
            tokens += self._encoder.encode(text, work, begins=False)
            if room:
                room.check(len(tokens), whole=False)
        begins = special and self.begins and self.bos is not None and tokens[:1] != [self.bos]
        return [self.bos, *tokens] if begins and self.bos is not None else tokens

    def more(self, texts: Sequence[str], work: Cancellable = NEVER) -> list[int]:
        """The tokens of texts that go on after others."""
        return [token for text in texts for token in self._encoder.encode(text, work, begins=False)]

    def check(self, tokens: Sequence[int], param: str) -> None:
        """Raises InvalidRequest where one of them is none."""
        if (highest := max(tokens, default=0)) >= self.size:
            raise InvalidRequest(f"{highest} is no token: this model has {self.size}", param=param)

    def spell(self, token: int) -> bytes:
        """What the file has for a token."""
        return self._bytes[token]

    def bytes_of(self, token: int) -> bytes:
        """A token's text, which may be a part of a character; empty for those that end an answer."""
        return b"" if token in self.ends else self._bytes[token]
