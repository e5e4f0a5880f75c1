"""Tokenizers of GGUF files that were made of legacy files and checkpoints: they read texts as the models' own do."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from shared.errors import ModelFileError
from tests.fixtures.make_legacy import MODELS, write
from tests.tiny import loaded
from worker.formats.architectures import ARCHITECTURES
from worker.formats.checkpoint import convert
from worker.formats.gguf import read_header
from worker.formats.legacy import read_legacy
from worker.formats.repack import repack
from worker.formats.tokenizer import of_legacy
from worker.formats.vocabulary import TokenKind

WORDS = ["h", "e", "l", "o", " ", " h", "he", "ll", " he", "llo", " hello", "é"]
"""Of a SentencePiece vocabulary, those that merge earlier first."""
BYTES = 3


def sentence_piece_file(target: Path) -> Path:
    """A Llama file whose vocabulary is what the converters of the time wrote."""
    data = bytearray(write("llama", "F16", target).read_bytes())
    legacy = read_legacy(target)
    tokens = [b" \xe2\x81\x87 ", b"", b"", *(bytes([byte]) for byte in range(256)), *(word.encode() for word in WORDS)]
    tokens += [f" word{i}".encode() for i in range(512 - len(tokens))]
    start = 8 + 4 * len(ARCHITECTURES["llama"].layout)
    head = b"".join(
        len(token).to_bytes(4, "little") + token + np.float32(-max(0, i - BYTES - 256)).tobytes()
        for i, token in enumerate(tokens)
    )
    body = bytearray()
    for tensor in legacy.tensors:
        name = tensor.name.encode()
        body += np.array([len(tensor.shape), len(name), tensor.kind, *tensor.shape], "<i4").tobytes() + name
        body += bytes(-(start + len(head) + len(body)) % 32) + data[tensor.offset : tensor.offset + tensor.size]
    target.write_bytes(data[:start] + head + body)
    return target


def test_sentence_pieces_of_a_legacy_llama(tmp_path: Path) -> None:
    repack(sentence_piece_file(tmp_path / "llama.bin"), tmp_path / "llama.gguf")
    first = BYTES + 256
    with loaded(tmp_path / "llama.gguf") as engine:
        assert engine.tokenize("hello") == [1, first + WORDS.index(" hello")]
        assert engine.tokenize("é") == [1, first + WORDS.index(" "), first + WORDS.index("é")]
        unknown = engine.tokenize("日")
        assert unknown == [1, first + WORDS.index(" "), *(BYTES + byte for byte in "日".encode())]
        assert engine.detokenize(unknown[1:]).lstrip() == "日".encode()
        assert engine.tokenize("</s>")[-1] == 2


def test_lost_bytes_are_known_by_their_places(tmp_path: Path) -> None:
    legacy = read_legacy(write("gptj", "F16", tmp_path / "gptj.bin"))
    whole = of_legacy(legacy, ARCHITECTURES["gptj"])
    lossy = tuple(token.decode(errors="replace").encode() for token in legacy.vocabulary)
    restored = of_legacy(replace(legacy, vocabulary=lossy), ARCHITECTURES["gptj"])
    lost = [i for i, kind in enumerate(restored.kinds) if kind is TokenKind.UNUSED]
    assert all(b"\xef\xbf\xbd" in lossy[i] and len(legacy.vocabulary[i]) > 1 for i in lost)
    assert [t for i, t in enumerate(restored.tokens) if i not in lost] == [
        t for i, t in enumerate(whole.tokens) if i not in lost
    ]
    assert len(set(restored.tokens)) == len(restored.tokens)


def test_doubles_keep_their_places_under_other_names(tmp_path: Path) -> None:
    legacy = read_legacy(write("gptj", "F16", tmp_path / "gptj.bin"))
    words = (*legacy.vocabulary[:-2], legacy.vocabulary[300], b"")
    tokens = of_legacy(replace(legacy, vocabulary=words), ARCHITECTURES["gptj"]).tokens
    assert len(set(tokens)) == len(tokens) == 512


def test_a_token_of_64_kilobytes_takes_no_time(tmp_path: Path) -> None:
    legacy = read_legacy(write("gptj", "F16", tmp_path / "gptj.bin"))
    words = (*legacy.vocabulary[:-30], *(b" " * (65_000 + i) for i in range(30)))
    of_legacy(replace(legacy, vocabulary=words), ARCHITECTURES["gptj"])


class TestCheckpoints:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return Path(shutil.copytree(MODELS / "gpt2", tmp_path / "gpt2"))

    def change(self, file: Path, **values: Any) -> None:
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    @pytest.mark.parametrize(
        ("splitting", "name"),
        [
            ({"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}, "gpt-2"),
            (
                {
                    "type": "Sequence",
                    "pretokenizers": [{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel"}],
                },
                "smollm",
            ),
            ({"type": "ByteLevel", "add_prefix_space": True}, "a space before each text"),
            ({"type": "Whitespace"}, "Whitespace"),
            (None, "nothing"),
        ],
    )
    def test_texts_are_split_as_the_tokenizer_says(
        self, folder: Path, tmp_path: Path, splitting: Any, name: str
    ) -> None:
        self.change(folder / "tokenizer.json", pre_tokenizer=splitting)
        target = tmp_path / "model.gguf"
        if name not in ("gpt-2", "smollm"):
            with pytest.raises(ModelFileError, match=f"pre_tokenizer.*{name}"):
                convert(folder, target)
            return
        convert(folder, target)
        assert read_header(target).metadata["tokenizer.ggml.pre"] == name

    def test_the_chat_template_may_have_a_file_of_its_own(self, folder: Path, tmp_path: Path) -> None:
        self.change(folder / "tokenizer_config.json", chat_template="old")
        convert(folder, tmp_path / "old.gguf")
        (folder / "chat_template.jinja").write_text("new")
        convert(folder, tmp_path / "new.gguf")
        assert [read_header(tmp_path / f"{name}.gguf").chat_template for name in ("old", "new")] == ["old", "new"]

    def test_numbers_that_f16_has_not(self, folder: Path, tmp_path: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        tensors["transformer.wte.weight"][3, 4] = 70_000.0
        save_file(tensors, folder / "model.safetensors")
        with pytest.raises(ModelFileError, match=r"wte\.weight.*beyond the range of f16"):
            convert(folder, tmp_path / "model.gguf")
        convert(folder, tmp_path / "model.gguf", "bf16")
