"""Checkpoints that are made for a test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

WORDS = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "sat", "!", "é"]
WIDTH, INNER, CONTEXT = 32, 64, 16
LAYERS = 2
CONFIG = {
    "model_type": "bert",
    "vocab_size": len(WORDS),
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_attention_heads": 4,
    "num_hidden_layers": LAYERS,
    "max_position_embeddings": CONTEXT,
    "hidden_act": "gelu",
}
TOKENIZER = {
    "added_tokens": [{"id": i, "content": WORDS[i], "special": True} for i in (0, 2, 3, 4, 5)],
    "normalizer": {"type": "BertNormalizer", "lowercase": True, "strip_accents": None},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "model": {"type": "WordPiece", "vocab": {word: i for i, word in enumerate(WORDS)}},
}
MODULES = [{"type": f"sentence_transformers.models.{n}", "path": n} for n in ("Transformer", "Pooling", "Normalize")]


def make_bert(folder: Path, **files: Any) -> Path:
    """A tiny BERT of sentence-transformers with random weights; `files` are other contents of its JSON files, None for
    one that is not there."""
    shapes: dict[str, tuple[int, ...]] = {
        f"embeddings.{name}_embeddings.weight": (rows, WIDTH) for name, rows in _ROWS.items()
    }
    shapes |= _layer("embeddings.LayerNorm", WIDTH) | _layer("pooler.dense", WIDTH, WIDTH)
    for i in range(LAYERS):
        for name, shape in _PARTS.items():
            shapes |= _layer(f"encoder.layer.{i}.{name}", *shape)
    random = np.random.default_rng(1)
    tensors = {name: random.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
    tensors["embeddings.position_ids"] = np.arange(CONTEXT, dtype=np.int64)[None]  # type: ignore[assignment]  # as older checkpoints have them
    (folder / "Pooling").mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    usual = {"config": CONFIG, "tokenizer": TOKENIZER, "modules": MODULES}
    for name, content in (usual | files).items():
        if content is not None:
            (folder / f"{name}.json").write_text(json.dumps(content))
    pooling = {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    (folder / "Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


_ROWS = {"word": len(WORDS), "position": CONTEXT, "token_type": 2}
_PARTS: dict[str, tuple[int, ...]] = {
    **{f"attention.self.{name}": (WIDTH, WIDTH) for name in ("query", "key", "value")},
    "attention.output.dense": (WIDTH, WIDTH),
    "attention.output.LayerNorm": (WIDTH,),
    "intermediate.dense": (INNER, WIDTH),
    "output.dense": (WIDTH, INNER),
    "output.LayerNorm": (WIDTH,),
}


def _layer(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
