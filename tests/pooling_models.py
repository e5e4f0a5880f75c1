"""Tiny models that make vectors, their weights random, and what llama.cpp's own server tells of any."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from shared.catalogue import Model
from shared.config import Config
from shared.protocol import PoolingTask
from tests.tiny import TINY
from worker import engines
from worker.engines import Engine
from worker.formats.pooling import PoolingKind

WORDS = ("red", "green", "blue", "fox", "sea", "boat", "light", "house", "sep", "[", "]", "a", "b")
CONTEXT, WIDTH, INNER, LAYERS = 64, 32, 64, 2
_SERVER = """
import json, sys, xllamacpp
path, rank = sys.argv[1:]
options = xllamacpp.CommonParams()
options.model.path, options.port = path, 0
options.n_ctx, options.n_batch, options.n_ubatch, options.n_parallel = 512, 512, 512, 1
options.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
options.embedding, options.ui, options.verbosity = True, False, 1
if rank == "rank":
    options.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_RANK
options.hostnames = [sys.stdin.readline().strip()]
server = xllamacpp.Server(options)
for line in sys.stdin:
    ask = server.handle_rerank if rank == "rank" else server.handle_embeddings
    print(json.dumps(ask(json.loads(line))), flush=True)
"""


def tiny_bert(path: Path, kind: PoolingKind, template: str = "", broken: str = "") -> Path:
    """`template`: what it makes of a query and a document; the weights of the word `broken` are no numbers."""
    writer, random = gguf.GGUFWriter(path, "bert"), np.random.default_rng(5)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"▁{word}" for word in WORDS)]
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(value=False)
    writer.add_uint32("bert.pooling_type", int(kind))
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 2, 3, 3] + [1] * len(WORDS))
    writer.add_token_type_count(2)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(3)
    writer.add_sep_token_id(3)
    writer.add_unk_token_id(1)
    writer.add_pad_token_id(0)
    if template:
        writer.add_string("tokenizer.chat_template.rerank", template)

    def add(name: str, *shape: int) -> None:
        made = random.normal(0, 0.4, shape).astype(np.float32)
        if broken and name == "token_embd.weight":
            made[tokens.index(f"▁{broken}")] = np.nan
        writer.add_tensor(name, made + 1 if name.endswith("norm.weight") else made)

    add("token_embd.weight", len(tokens), WIDTH)
    add("position_embd.weight", CONTEXT, WIDTH)
    add("token_types.weight", 2, WIDTH)
    _add_both(add, "token_embd_norm", WIDTH)
    for layer in range(LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            _add_both(add, f"blk.{layer}.{name}", WIDTH, WIDTH)
        _add_both(add, f"blk.{layer}.ffn_up", INNER, WIDTH)
        _add_both(add, f"blk.{layer}.ffn_down", WIDTH, INNER)
        for name in ("attn_output_norm", "layer_output_norm"):
            _add_both(add, f"blk.{layer}.{name}", WIDTH)
    if kind is PoolingKind.RANK:
        _add_both(add, "cls", WIDTH, WIDTH)
        _add_both(add, "cls.output", 1, WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_both(add: Any, name: str, *shape: int) -> None:
    add(f"{name}.weight", *shape)
    add(f"{name}.bias", shape[0])


def tiny_last(path: Path) -> Path:
    """The tiny model of llama.cpp, whose last token tells what a text means."""
    reader, writer = gguf.GGUFReader(TINY), gguf.GGUFWriter(path, "llama")
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            kind = field.types[0]
            writer.add_key_value(field.name, field.contents(), kind, field.types[-1] if len(field.types) > 1 else None)
    writer.add_uint32("llama.pooling_type", int(PoolingKind.LAST))
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def loaded(path: Path, **settings: Any) -> closing[Engine]:
    return closing(engines.load(Model("tiny", "", path, "llama.cpp", None), Config(slots=1, threads=1, **settings)))


def vectors(engine: Engine, task: PoolingTask) -> list[npt.NDArray[np.float32]]:
    """Of all its inputs, as a worker has them computed."""
    found: dict[int, npt.NDArray[np.float32]] = {}
    for places in engine.pooler.divide(task):
        pooled = engine.pooler.pool(task, places)
        found.update((place, np.frombuffer(vector, "<f4")) for place, vector in enumerate(pooled.vectors, pooled.first))
    return [found[place] for place in range(task.size)]


def ask_server(path: Path, questions: Sequence[dict[str, Any]], *, rank: bool = False) -> list[Any]:
    """The answers of llama.cpp's own server, in a process of its own."""
    command = [sys.executable, "-c", _SERVER, str(path), "rank" if rank else ""]
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:  # a socket's path has to be short
        given = "\n".join([f"{folder}/a.sock", *map(json.dumps, questions)])
        told = subprocess.run(command, input=given + "\n", capture_output=True, text=True, check=True, timeout=100)
    return [json.loads(line) for line in told.stdout.splitlines()]
