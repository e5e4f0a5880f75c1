"""Every reader of what others may have written: sound examples, how it is called, and the errors that it may raise."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import save

from gateway.keys import Keys
from shared.catalogue import models_toml
from shared.codec import decode, decode_accepted, encode
from shared.config import ConfigError
from shared.errors import InvalidRequest, ModelFileError, NotUnderstood
from shared.protocol import Accepted, Chat, Delta, Done, Event, Failed, Message, Sampling, Usage
from shared.store import connect
from tests.fixtures.make_legacy import FOLDERS, GENUINE, MODELS
from tests.fuzz.spoiling import spoil, spoil_json, spoil_safetensors
from worker import chat_formats
from worker.engines.llama_cpp_session import Sessions
from worker.formats.architectures import ARCHITECTURES
from worker.formats.architectures.mapping import Hyper
from worker.formats.checkpoint import convert
from worker.formats.checkpoint_tokenizer import read_tokenizer
from worker.formats.description import describe
from worker.formats.safetensors import read_tensors


@dataclass(frozen=True)
class Target:
    examples: Callable[[Path], Sequence[bytes]]
    """They are made in a folder."""
    read: Callable[[bytes, Path], object]
    """Is given what to read, and a folder to put it into."""
    refusals: tuple[type[Exception], ...]
    words: tuple[str, ...] = ()
    """What the format is made of, to be put anywhere."""
    spoil: Callable[[bytes, random.Random], bytes] = spoil
    """Makes another case of one."""


def _in_file(read: Callable[[Path], object], name: str = "file") -> Callable[[bytes, Path], object]:
    def read_file(content: bytes, folder: Path) -> object:
        (folder / name).write_bytes(content)
        return read(folder / name)

    return read_file


def _gguf(folder: Path) -> list[bytes]:
    """A small one, with values of each kind."""
    writer = gguf.GGUFWriter(folder / "seed.gguf", "llama")
    writer.add_name("seed")
    writer.add_context_length(64)
    writer.add_file_type(1)
    writer.add_bos_token_id(1)
    writer.add_chat_template("{{ messages }}")
    writer.add_token_list([b"<s>", b"</s>", b"a"])
    writer.add_token_scores([0.0, -1.0, -2.0])
    writer.add_bool("a.flag", True)
    writer.add_float64("a.number", 0.5)
    writer.add_array("an.array", [1, 2, 3])
    writer.add_tensor("token_embd.weight", np.zeros((3, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return [(folder / "seed.gguf").read_bytes()]


def _legacy(_: Path) -> list[bytes]:
    """A sound one as small as can be, and the heads of genuine ones."""
    vocabulary, width = 3, 32
    hyper = Hyper(vocabulary, 64, width, 4 * width, 1, 1, 1, width, rotary=32, parallel=True)
    whole = b"lmgg" + struct.pack("<8i", vocabulary, 64, width, 1, 1, 32, 1, 0)
    whole += b"".join(struct.pack("<I", 1) + b"%d" % i for i in range(vocabulary))
    for weight in ARCHITECTURES["gptneox"].tensors(1):
        shape, name = weight.extent(hyper.sizes), weight.legacy.encode()
        whole += struct.pack(f"<{3 + len(shape)}i", len(shape), len(name), 0, *shape) + name + bytes(4 * prod(shape))
    return [whole, *(path.read_bytes()[:20_000] for path in GENUINE)]


def _of_checkpoints(name: str) -> Callable[[Path], list[bytes]]:
    return lambda _: [(MODELS / folder / name).read_bytes() for folder in FOLDERS.values()]


def _convert(content: bytes, folder: Path) -> None:
    """A checkpoint with this config.json: those of all kinds have the same tokenizer, and weights of other shapes."""
    (folder / "config.json").write_bytes(content)
    for name in ("tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        if not (folder / name).exists():
            (folder / name).symlink_to(MODELS / "llama" / name)
    convert(folder, folder / "converted.gguf")


def _tokenizer(content: bytes, folder: Path) -> None:
    (folder / "tokenizer.json").write_bytes(content)
    read_tokenizer(folder, 512, {})


def _small_tokenizers(_: Path) -> list[bytes]:
    vocabulary = {"a": 0, "b": 1, "ab": 2}
    model = {"type": "BPE", "vocab": vocabulary, "merges": ["a b"], "byte_fallback": False}
    added = [{"id": 3, "content": "<s>", "special": True}]
    splits = [
        {"type": "Split", "pattern": {"Regex": r"\p{N}{1,3}"}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
    ]
    return [
        json.dumps({"model": model, "added_tokens": added, "pre_tokenizer": pre}).encode()
        for pre in (None, {"type": "ByteLevel"}, {"type": "Sequence", "pretokenizers": splits})
    ]


def _safetensors(_: Path) -> list[bytes]:
    return [save({"a": np.zeros((2, 3), np.float32), "b": np.ones(4, np.float16)}, {"format": "pt"})]


def _read_tensors(content: bytes, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(content)
    for stored in read_tensors(folder).values():
        stored.values(0, 1)


def _models_toml(_: Path) -> list[bytes]:
    digest = "0" * 64
    return [
        b'[[model]]\nid = "a"\naliases = ["b"]\nengine = "echo"\nslots = 2\ncontext = 9\nthreads = 1\n',
        b'[[model]]\nid = "a"\nsource = "a.gguf"\nchat_format = "x.jinja"\nlora = ["a", { path = "b", scale = 0.5 }]\n'
        b'draft = "d"\nrope_freq_base = 1e4\nrope_freq_scale = 0.5\narchitecture = "llama"\n',
        f'[[model]]\nid = "a"\nsource = "pypi:a==1"\nmember = "a/b.gguf"\nwheel_sha256 = "{digest}"\n'.encode(),
        f'[[model]]\nid = "a"\nsource = "hf:o/n/a.gguf@v1"\nsha256 = "{digest}"\n'.encode(),
    ]


def _events(_: Path) -> list[bytes]:
    events: list[Event] = [Delta("text", (1, 2), finish_reason="stop"), Done(Usage(1, 2)), Failed("code", "words")]
    return [encode(events), b'[{"type":"unknown","x":[1,{}]}]', b"[]"]


def _task(_: Path) -> list[bytes]:
    sampling = Sampling(seed=1, stop=("a",), logit_bias=((1, 2.0),))
    return [encode([Accepted(Chat("m", (Message("user", "Hello"),), sampling), 1, "owner")])]


def _sessions(_: Path) -> list[bytes]:
    state = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of nothing
    return [json.dumps({"format": "inferq session 1", "model": "m", "state": state}).encode() + b"\n"]


def _check_session(path: Path) -> None:
    with path.open("rb") as file:
        Sessions(None, "m")._check(path, file)  # type: ignore[arg-type]  # nobody is asked


TARGETS: dict[str, Target] = {
    "gguf": Target(_gguf, _in_file(describe), (ModelFileError,), ("general.alignment", "GGUF")),
    "legacy": Target(_legacy, _in_file(describe), (ModelFileError,), ("lmgg", "fmgg", "tjgg", "ccgg")),
    "checkpoint": Target(_of_checkpoints("config.json"), _convert, (ModelFileError,), spoil=spoil_json),
    "tokenizer": Target(_small_tokenizers, _tokenizer, (ModelFileError,), spoil=spoil_json),
    "safetensors": Target(_safetensors, _read_tensors, (ModelFileError,), spoil=spoil_safetensors),
    "models.toml": Target(
        _models_toml,
        _in_file(lambda path: models_toml.read(str(path))),
        (ConfigError,),
        ("[[model]]", "= [", "= {", "nan", "inf", "''", "..", "~", '"""', "\\u0000"),
    ),
    "keys": Target(
        lambda _: [b"a:key\n# comment\nb:other weight=2 priority max_jobs=5\n", b"single\n"],
        _in_file(lambda path: Keys(f"@{path}")),
        (ConfigError,),
        ("weight=", "max_jobs=", "priority"),
    ),
    "template": Target(
        lambda _: [chat_formats.template(name).encode() for name in chat_formats.NAMES],
        _in_file(lambda path: chat_formats.template(str(path))),
        (ConfigError,),
        ("{%", "%}", "{{", "}}", "for", "if", "macro", "endfor", "|", "raw"),
    ),
    "events": Target(_events, lambda content, _: decode(content), (NotUnderstood,), ("[[", "1e999"), spoil_json),
    "task": Target(_task, lambda content, _: decode_accepted(content), (NotUnderstood,), ("[[",), spoil_json),
    "session": Target(_sessions, _in_file(_check_session), (InvalidRequest,), spoil=spoil_json),
    "redis url": Target(
        lambda _: [
            b"unix:///run/a.sock?db=0",
            b"rediss://u:p@h:1/2?ssl_ca_certs=x",
            b"redis+sentinel://:p@h:1,h:2/n/0",
        ],
        lambda content, _: connect(content.decode("latin-1")).close(),
        (ConfigError,),
        ("redis://", "?", "socket_timeout=", "[", "]", "@"),
    ),
}
