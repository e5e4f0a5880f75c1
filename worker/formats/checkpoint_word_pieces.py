"""The tokenizer of a checkpoint of BERT's kin: WordPiece, in tokenizer.json or, as of older ones, vocab.txt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.errors import ModelFileError
from shared.regular_file import read_text
from worker.formats.architectures.mapping import MOST_TOKENS
from worker.formats.checkpoint_tokenizer import LARGEST_JSON, read_json
from worker.formats.tokenizer import Tokenizer
from worker.formats.vocabulary import TokenKind

_WITHIN, _BEGIN = "##", "\u2581"
"""What WordPiece writes before a piece that goes on with a word, and llama.cpp before one that begins it."""
_SPECIAL = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
_SPECIAL |= {"mask_token": "[MASK]"}
"""The names of the special tokens, where a checkpoint gives them no others."""


def read_word_pieces(folder: Path, size: int) -> Tokenizer:
    """The tokenizer of a model whose embedding has `size` rows; rows without a token get one that nothing is read as.

    Raises ModelFileError, naming the file, for what is missing, damaged, or would be read otherwise.
    """
    path = folder / "tokenizer.json"
    config = read_json(folder / "tokenizer_config.json", {})
    described = read_json(path, {})
    if described:
        words, normaliser = _of_json(path, described)
    else:
        path = folder / "vocab.txt"
        words = _of_list(path)
        normaliser = {"lowercase": config.get("do_lower_case", True), "strip_accents": config.get("strip_accents")}
        normaliser["handle_chinese_chars"] = config.get("tokenize_chinese_chars", True)
    if not words or min(words.values()) < 0 or max(words.values()) >= min(size, MOST_TOKENS):
        raise ModelFileError(f"{path}: its tokens are not numbered from 0 to {size - 1}, as the weights are")
    for name in ("clean_text", "handle_chinese_chars"):
        if normaliser.get(name, True) is not True:
            raise ModelFileError(f"{path}: its normalizer has {name} off, and would be computed with it")
    names = {name: _text(config.get(name)) or usual for name, usual in _SPECIAL.items()}
    for name in ("unk_token", "cls_token", "sep_token"):
        if names[name] not in words:
            raise ModelFileError(f"{path}: {names[name]!r}, its {name}, is no token")
    special = set(names.values())
    tokens, kinds = [f"[PAD{i}]" for i in range(size)], [TokenKind.UNUSED] * size
    for word, i in words.items():
        tokens[i], kinds[i] = _spell(word, special)
    if len(set(tokens)) < size:
        raise ModelFileError(f"{path}: two tokens are the same text")
    lowercase = normaliser.get("lowercase") is True
    accents = normaliser.get("strip_accents")
    places = {name: words.get(word) for name, word in names.items()}
    return Tokenizer(
        "bert",
        tokens,
        kinds,
        "default",
        bos=places["cls_token"],
        eos=places["sep_token"],
        unknown=places["unk_token"],
        separator=places["sep_token"],
        padding=places["pad_token"],
        mask=places["mask_token"],
        add_bos=True,
        lowercase=lowercase,
        strip_accents=lowercase if accents is None else accents is True,
    )


def _of_json(path: Path, described: Mapping[str, Any]) -> tuple[dict[str, int], dict[str, Any]]:
    """The words by their numbers, and what is done to a text before they are looked for."""
    model, normaliser, split = (described.get(name) for name in ("model", "normalizer", "pre_tokenizer"))
    if not isinstance(model, dict) or model.get("type") != "WordPiece" or not isinstance(model.get("vocab"), dict):
        raise ModelFileError(f"{path}: only a tokenizer of the kind WordPiece can be converted for this model")
    if model.get("continuing_subword_prefix", _WITHIN) != _WITHIN:
        raise ModelFileError(f"{path}: its pieces within words do not begin with {_WITHIN!r}")
    if not isinstance(normaliser, dict) or normaliser.get("type") != "BertNormalizer":
        raise ModelFileError(f"{path}: only the normalizer BertNormalizer can be converted")
    if not isinstance(split, dict) or split.get("type") != "BertPreTokenizer":
        raise ModelFileError(f"{path}: only the pre_tokenizer BertPreTokenizer can be converted")
    words = {word: i for word, i in model["vocab"].items() if type(i) is int}
    added = described.get("added_tokens")
    for entry in added if isinstance(added, list) else []:
        if isinstance(entry, dict) and type(entry.get("id")) is int and isinstance(entry.get("content"), str):
            words[entry["content"]] = entry["id"]
    return words, normaliser


def _of_list(path: Path) -> dict[str, int]:
    try:
        lines = read_text(path, LARGEST_JSON).removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise ModelFileError(f"{path.parent}: neither tokenizer.json nor vocab.txt can be read: {exc}") from exc
    return {word: i for i, word in enumerate(lines)}


def _spell(word: str, special: set[str]) -> tuple[str, TokenKind]:
    """A token as llama.cpp writes it."""
    if word in special:
        return word, TokenKind.CONTROL
    if word.startswith("[unused") and word.endswith("]"):
        return word, TokenKind.UNUSED
    if word.startswith(_WITHIN) and word != _WITHIN:
        return word.removeprefix(_WITHIN), TokenKind.NORMAL
    return _BEGIN + word, TokenKind.NORMAL


def _text(token: Any) -> str:
    """A special token, which newer checkpoints describe in an object."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else ""
