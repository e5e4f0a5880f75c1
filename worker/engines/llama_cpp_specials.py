"""Which texts llama.cpp takes for special tokens."""

from __future__ import annotations

import re

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
