"""Which texts llama.cpp takes for special tokens, and which tokens it gives no text."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Sequence

from shared.catalogue import Model
from worker.chat_formats import template
from worker.engines.llama_cpp_files import Files
from worker.engines.llama_cpp_text import LlamaText
from worker.engines.special_texts import Specials
from worker.formats.infill import find_infill
from worker.formats.vocabulary import TokenKind, words

_LIKE_MARKUP = re.compile(r"[<\[_▁].*[>\]\[]")
_CONTROL = (TokenKind.CONTROL, TokenKind.UNKNOWN)
_PLAIN = (TokenKind.NORMAL, TokenKind.USER_DEFINED)


class Speller:
    """Spells the tokens of answers as llama.cpp does: those that control the conversation have no text in them.

    `pieces` are the bytes of all tokens.
    """

    def __init__(self, files: Files, text: LlamaText, pieces: Sequence[bytes]) -> None:
        self._text, self._pieces = text, pieces
        # As long as the file is the one that was loaded: another one may take its place, or none.
        found = [(word.decode(errors="replace"), kind) for word, kind in words(files.path)]
        self._unused = {token for token, (_, kind) in enumerate(found) if kind == TokenKind.UNUSED}
        self._doubtful = {
            token: word
            for token, (word, kind) in enumerate(found)
            if kind in _CONTROL or (kind in _PLAIN and _LIKE_MARKUP.fullmatch(word))
        }

    def spell(self, token: int, preserved: Collection[str] = ()) -> bytes:
        """Those tokens are `preserved` that have a text all the same."""
        piece = self._pieces[token]
        return b"" if token in self._silent and piece.decode(errors="replace") not in preserved else piece

    @functools.cached_property
    def _silent(self) -> frozenset[int]:
        """Found when it is needed, for a vocabulary may have thousands. What the file says of them is not the last
        word: of `<|im_end|>` llama.cpp knows that it is one, and of `<|start|>` that it is none."""
        control = set(self._text.find_specials(list(self._doubtful.values())))
        return frozenset(self._unused | {token for token, word in self._doubtful.items() if word in control})


def find_specials(model: Model, files: Files, text: LlamaText) -> Specials:
    """Those that the file tells, and those of which llama.cpp knows better: it is asked about what looks like one.

    That its tokenizer can be told to parse none is no help: some are parsed all the same, `<|start|>` among them.
    """
    found = [(word.decode(errors="replace"), kind) for word, kind in words(files.path)]
    infill = find_infill(files.header.metadata, [word.encode() for word, _ in found])
    gaps = infill.ids if infill else ()
    control = [word for token, (word, kind) in enumerate(found) if kind in _CONTROL or token in gaps]
    doubtful = [word for word, kind in found if kind in _PLAIN and _LIKE_MARKUP.fullmatch(word)]
    source = template(model.chat_format) if model.chat_format else files.header.chat_template or ""
    markup = [word for word, kind in found if kind == TokenKind.USER_DEFINED and word.strip() and word in source]
    return Specials((*control, *text.find_specials(doubtful)), markup)
