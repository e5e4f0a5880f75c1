"""BERT's checkpoints become GGUF files, and its texts the tokens that its own tokenizer makes of them."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader

from shared import catalogue
from shared.config import Config
from shared.errors import ModelFileError
from shared.protocol import Embedding
from tests.checkpoints import CONFIG, MODULES, TOKENIZER, WORDS, make_bert
from worker import engines
from worker.formats.checkpoint import convert
from worker.formats.description import describe
from worker.formats.gguf import read_header
from worker.formats.pooling import PoolingKind
from worker.formats.word_pieces import WordPieces

REFERENCE = json.loads((Path(__file__).parent / "fixtures" / "minilm.json").read_text())


def test_texts_have_the_tokens_of_its_own_tokenizer(minilm_path: Path) -> None:
    """Accents, ideographs, scripts with vowels apart, control characters, words that are unknown or too long."""
    pieces = WordPieces(minilm_path, read_header(minilm_path))
    for told in REFERENCE["tokens"]:
        assert [101, *pieces.encode(told["text"], special=True), 102] == told["ids"], ascii(told["text"])
    assert 102 not in pieces.encode("a text with [SEP] inside", special=False)


def test_the_engine_reads_texts_so_and_its_vectors_are_alike_as_in_64_bits(minilm_path: Path) -> None:
    model = replace(catalogue.resolve("minilm"), path=minilm_path)
    told = [told for told in REFERENCE["tokens"] if "[" not in told["text"]]
    sentences = tuple(REFERENCE["sentences"])
    with closing(engines.load(model, Config(slots=1))) as engine:
        assert (engine.card.capabilities, engine.card.embedding) == (("embedding",), 384)
        for each in told:
            assert engine.tokenize(each["text"]) == each["ids"], ascii(each["text"])
        task = Embedding("minilm", sentences)
        pooled = [engine.pooler.pool(task, places) for places in engine.pooler.divide(task)]
    rows = b"".join(vector for part in sorted(pooled, key=lambda part: part.first) for vector in part.vectors)
    vectors = np.frombuffer(rows, "<f4").reshape(len(sentences), -1)
    off = [
        abs(vectors[i] @ vectors[j] - score) for i, row in enumerate(REFERENCE["scores"]) for j, score in enumerate(row)
    ]
    assert max(off) < 0.01
    assert sentences[4:7] == (
        "A man is eating food.",
        "A man is eating a piece of bread.",
        "The girl is carrying a baby.",
    )
    assert vectors[4] @ vectors[5] == pytest.approx(0.754, abs=0.002)
    assert vectors[4] @ vectors[6] == pytest.approx(-0.106, abs=0.002)


def test_the_same_checkpoint_makes_the_same_bytes(minilm_path: Path) -> None:
    built_in = catalogue.resolve("minilm")
    assert hashlib.sha256(minilm_path.read_bytes()).hexdigest() == built_in.sha256
    found = describe(minilm_path)
    assert (found.name, found.pooling, found.embedding) == ("all-MiniLM-L6-v2", PoolingKind.MEAN, 384)
    assert (found.quantisation, found.context, found.no_model) == ("Q8_0", 512, "")


@pytest.mark.parametrize(("kind", "stored"), [("f32", {"F32"}), ("f16", {"F16", "F32"}), ("q8_0", {"Q8_0", "F32"})])
def test_a_checkpoint_of_bert_is_converted(tmp_path: Path, kind: str, stored: set[str]) -> None:
    convert(make_bert(tmp_path / "bert"), tmp_path / "a.gguf", kind)
    convert(tmp_path / "bert", tmp_path / "b.gguf", kind)
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()
    header = read_header(tmp_path / "a.gguf")
    assert {tensor.tensor_type.name for tensor in GGUFReader(tmp_path / "a.gguf").tensors} == stored
    assert header.metadata["bert.attention.causal"] is False
    pieces = WordPieces(tmp_path / "a.gguf", header)
    assert pieces.encode("The CATS sat! dogs", special=True) == [6, 7, 8, 9, 10, 2]


@pytest.mark.parametrize(
    ("pooling", "kind"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, PoolingKind.CLS),
        ({"pooling_mode": "lasttoken"}, PoolingKind.LAST),
        ({"pooling_mode": "mean"}, PoolingKind.MEAN),
        (None, PoolingKind.MEAN),
    ],
)
def test_its_pooling_is_that_of_its_modules(tmp_path: Path, pooling: Any, kind: PoolingKind) -> None:
    folder = make_bert(tmp_path / "bert", **({} if pooling else {"modules": None}))
    (folder / "Pooling" / "config.json").write_text(json.dumps(pooling or {}))
    convert(folder, tmp_path / "model.gguf")
    assert describe(tmp_path / "model.gguf").pooling is kind


def test_older_checkpoints_have_a_list_of_words(tmp_path: Path) -> None:
    folder = make_bert(tmp_path / "bert", tokenizer=None, tokenizer_config={"do_lower_case": False})
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    convert(folder, tmp_path / "model.gguf")
    pieces = WordPieces(tmp_path / "model.gguf", read_header(tmp_path / "model.gguf"))
    assert pieces.encode("the The é e\u0301", special=False) == [6, 2, 11, 2], (
        "it tells large letters and accents apart"
    )


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"config": CONFIG | {"position_embedding_type": "relative_key"}}, "position_embedding_type"),
        ({"config": CONFIG | {"hidden_act": "relu"}}, "hidden_act"),
        ({"config": CONFIG | {"max_position_embeddings": 17}}, "has the shape"),
        (
            {"tokenizer": TOKENIZER | {"added_tokens": [{"id": 12, "content": "dog"}]}},
            "tokenizer.json: its tokens are not numbered from 0 to 11",
        ),
        ({"tokenizer": TOKENIZER | {"normalizer": {"type": "Lowercase"}}}, "only the normalizer BertNormalizer"),
        ({"tokenizer": TOKENIZER | {"pre_tokenizer": {"type": "Whitespace"}}}, "only the pre_tokenizer BertPre"),
        ({"tokenizer": TOKENIZER | {"model": {"type": "Unigram", "vocab": []}}}, "of the kind WordPiece"),
        (
            {"tokenizer": TOKENIZER | {"normalizer": {"type": "BertNormalizer", "handle_chinese_chars": False}}},
            "handle_chinese_chars off",
        ),
        ({"tokenizer_config": {"sep_token": "<end>"}}, "'<end>', its sep_token, is no token"),
        ({"tokenizer": None}, "neither tokenizer.json nor vocab.txt"),
        ({"modules": [*MODULES, {"type": "sentence_transformers.models.Dense"}]}, "the module 'Dense' cannot be"),
        ({"modules": {}}, "not a list of modules"),
    ],
)
def test_what_would_be_computed_otherwise_is_named(tmp_path: Path, files: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelFileError, match=words):
        convert(make_bert(tmp_path / "bert", **files), tmp_path / "model.gguf")


def test_a_pooling_that_is_not_known_is_named(tmp_path: Path) -> None:
    folder = make_bert(tmp_path / "bert")
    (folder / "Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(ModelFileError, match=r"can be taken, not pooling_mode_max_tokens"):
        convert(folder, tmp_path / "model.gguf")
