"""The tokenizer of a Hugging Face checkpoint: its tokenizer.json, and what tokenizer_config.json says besides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.errors import ModelFileError
from shared.regular_file import read_bytes, read_text
from worker.formats.architectures.mapping import MOST_TOKENS
from worker.formats.splitting import name_of
from worker.formats.tokenizer import Tokenizer
from worker.formats.vocabulary import TokenKind

LARGEST_JSON = 64 << 20
"""Bytes of a JSON file of a checkpoint; the largest tokenizers have some 35 MB."""
_BYTES = {f"<0x{byte:02X}>" for byte in range(256)}


def read_tokenizer(folder: Path, size: int, config: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of a model whose embedding has `size` rows; rows without a token get one that nothing is read as.

    Raises ModelFileError, naming the file, for what is missing, damaged, or of another kind than BPE and WordPiece.
    """
    path = folder / "tokenizer.json"
    described = read_json(path)
    model = described.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE" or not isinstance(vocabulary, dict):
        raise ModelFileError(f"{path}: only tokenizers of the kind BPE can be converted")
    listed = described.get("added_tokens")
    added = {entry["id"]: entry for entry in listed if _is_token(entry)} if isinstance(listed, list) else {}
    words = {i: word for word, i in vocabulary.items() if type(i) is int} | {i: e["content"] for i, e in added.items()}
    if not words or min(words) < 0 or max(words) >= min(size, MOST_TOKENS):
        raise ModelFileError(f"{path}: its tokens are not numbered from 0 to {size - 1}, as the weights are")
    tokens = [words.get(i, f"[PAD{i}]") for i in range(size)]
    if len(set(tokens)) < size:
        raise ModelFileError(f"{path}: two tokens are the same text")
    pieces = bool(model.get("byte_fallback"))
    kinds = [_kind(i, words, added, pieces=pieces) for i in range(size)]
    extra = read_json(folder / "tokenizer_config.json", {})
    template = _template(folder) or extra.get("chat_template", "")
    places = {word: i for i, word in enumerate(tokens)}
    return Tokenizer(
        "llama" if pieces else "gpt2",
        tokens,
        kinds,
        "" if pieces else name_of(path, described.get("pre_tokenizer")),
        () if pieces else _merges(path, model.get("merges")),
        [-float(i) for i in range(size)] if pieces else (),
        _place(places, extra.get("bos_token"), config.get("bos_token_id")),
        _place(places, extra.get("eos_token"), config.get("eos_token_id")),
        _place(places, extra.get("unk_token"), None) if pieces else None,
        add_bos=bool(extra.get("add_bos_token", pieces or "<|begin_of_text|>" in places)),
        chat_template=template if isinstance(template, str) else "",
    )


def _template(folder: Path) -> str:
    """Newer checkpoints have the chat template in a file of its own."""
    try:
        return read_text(folder / "chat_template.jinja")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as exc:
        raise ModelFileError(f"{folder / 'chat_template.jinja'}: cannot be read: {exc}") from exc


def read_json(path: Path, default: dict[str, Any] | None = None) -> dict[str, Any]:
    """The object in a file; `default` where there is none. Raises ModelFileError."""
    try:
        value = json.loads(read_bytes(path, LARGEST_JSON))
    except FileNotFoundError:
        if default is not None:
            return default
        raise ModelFileError(f"{path}: no such file; a checkpoint has one") from None
    except OSError as exc:
        raise ModelFileError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    except (ValueError, RecursionError) as exc:
        raise ModelFileError(f"{path}: this is not JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise ModelFileError(f"{path}: this is not a JSON object")
    return value


def _is_token(entry: Any) -> bool:
    return isinstance(entry, dict) and type(entry.get("id")) is int and isinstance(entry.get("content"), str)


def _kind(i: int, words: Mapping[int, str], added: Mapping[int, Mapping[str, Any]], *, pieces: bool) -> TokenKind:
    if i not in words:
        return TokenKind.UNUSED
    if pieces and words[i] == "<unk>":
        return TokenKind.UNKNOWN
    if i in added:
        return TokenKind.CONTROL if added[i].get("special") else TokenKind.USER_DEFINED
    return TokenKind.BYTE if pieces and words[i] in _BYTES else TokenKind.NORMAL


def _merges(path: Path, merges: Any) -> list[str]:
    """Older files write a merge as one text, newer ones as two."""
    if not isinstance(merges, list):
        raise ModelFileError(f"{path}: model.merges is missing")
    found = [" ".join(map(str, merge)) if isinstance(merge, list) else str(merge) for merge in merges]
    if any(merge.count(" ") != 1 for merge in found):
        raise ModelFileError(f"{path}: a merge is not of two parts")
    return found


def _place(places: Mapping[str, int], token: Any, number: Any) -> int | None:
    if isinstance(token, dict):
        token = token.get("content")
    if isinstance(token, str) and token in places:
        return places[token]
    return number if type(number) is int and 0 <= number < len(places) else None
